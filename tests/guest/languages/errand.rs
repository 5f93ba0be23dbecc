// All of the client API once, as errand.go.
use std::io::{ErrorKind, Result};
use std::time::Duration;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

fn about() -> Result<()> {
    let hosts = (radics::host(), radics::host_eid());
    println!("{} {} {} {} {}", radics::name(), radics::eid(), hosts.0, hosts.1, radics::epoch());
    let (branch, memory) = (radics::branch(), radics::memory() >> 20);
    println!("{} {} {} {}", !radics::abi().is_empty(), radics::host_abi(), branch, memory);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let colour = std::env::var("COLOUR").unwrap();
    println!("{} {} {}", args.join(","), colour, radics::sources().join(","));
    radics::log(radics::Level::Warn, "on an errand")
}

fn keys() -> Result<()> {
    println!("none: {}", radics::get("none")?.is_none());
    radics::put("a", "one")?;
    radics::put("b", vec![0; 5000])?;
    let (a, b) = (radics::get("a")?.unwrap(), radics::get("b")?.unwrap());
    println!("{} {} {}", String::from_utf8(a).unwrap(), b.len(), radics::keys()?.len());
    radics::erase("b")?;
    println!("erased: {}", radics::erase("b").unwrap_err().kind() == ErrorKind::NotFound);
    Ok(())
}

fn asking() -> Result<()> {
    let reply = radics::request("dtn://far/x", "ping", MINUTE)?;
    println!("{} from {}", reply.text(), reply.from);
    let late = radics::request("dtn://far/y", "", Some(Duration::from_millis(1)));
    println!("in time: {}", late.unwrap_err().kind() != ErrorKind::TimedOut);
    let (nodes, sources) = radics::mesh(MINUTE)?;
    for n in nodes {
        let latency = n.latency.map_or(-1.0, |t| t.as_secs_f64());
        println!(
            "{} {} {} {} {} {} {}",
            n.name, n.arch, n.cores, n.load, n.memory_free, latency, n.here
        );
    }
    for s in sources {
        println!("{} {} {}", s.name, s.publisher, s.age.as_secs_f64());
    }
    Ok(())
}

fn waiting() -> Result<()> {
    let timer = radics::start_timer(Duration::from_millis(1), Duration::ZERO)?;
    let due = radics::receive_timer(MINUTE)?;
    let gone = radics::stop_timer(timer).unwrap_err().kind() == ErrorKind::NotFound;
    println!("timer: {} {}", due == Some(timer), gone);
    println!("mail: {}", radics::receive(Some(Duration::from_millis(1)))?.is_some());
    radics::move_near("text")?;
    radics::move_to("laptop")?;
    radics::stay()?;
    radics::move_free()?;
    println!("set back: {}", radics::checkpoint()?);
    Ok(())
}

fn serving() -> Result<()> {
    let service = radics::serve("echo")?;
    let request = service.receive(None)?.unwrap();
    println!("asked for {} at {}", request.text(), request.to);
    request.reply(request.text().repeat(2))?;
    service.close()
}

fn reading() -> Result<()> {
    let text = radics::subscribe("text")?;
    let n: usize = text.map(|line| line.payload.len()).sum();
    let end = text.receive(None).unwrap_err().kind() == ErrorKind::UnexpectedEof;
    println!("read {} and the end: {}", n, end);
    let line = radics::subscribe_after("later", 41)?.receive(None)?.unwrap();
    println!("{} {} {}", line.text(), line.number, line.from);
    Ok(())
}

fn main() -> Result<()> {
    about()?;
    keys()?;
    asking()?;
    waiting()?;
    serving()?;
    reading()?;
    radics::send_for("dtn://base/reports", "done", Duration::from_secs(3600))?;
    let long = radics::send("dtn://base/reports", vec![0; radics::MESSAGE_MAX + 1]);
    println!("too long: {}", long.unwrap_err().raw_os_error() == Some(90));
    std::process::exit(7)
}
