// echo: a service that answers in capitals, and how often it has been asked.
//
//   radics-mesh build examples/echo.rs -o echo.img
//   radics-mesh run echo.img --name echo
//
// Send requests to this VM's EID + "shout". The count is kept as a value that moves along; a request
// "stop" ends it.
use std::io::Result;

fn asked() -> Result<u64> {
    let value = radics::get("asked")?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&value).parse().unwrap_or(0))
}

fn main() -> Result<()> {
    println!("{} listens at {}shout", radics::name(), radics::eid());
    for request in radics::serve("shout")? {
        let n = asked()? + 1;
        radics::put("asked", n.to_string())?;
        request.reply(format!("{} ({}, on {})", request.text().to_uppercase(), n, radics::host()))?;
        if request.text() == "stop" {
            break;
        }
    }
    println!("asked {} times", asked()?);
    Ok(())
}
