//! What a program on RaDiCS can do beyond Rust's standard library: messages, requests and services,
//! data sources, timers, checkpoints, and asking and saying where to be.
//!
//!     for line in radics::subscribe("text")? {
//!         println!("{}: {}", radics::host(), line.text());
//!     }
//!     radics::send("dtn://base/reports", "the stream has ended")?;
//!
//! `build` makes the crate; it is C's radics.h. Errors are std::io::Error with its errno: ENOTCONN
//! without a host (the image was started by hand), EOPNOTSUPP where the node is of an older version,
//! EMSGSIZE for more than MESSAGE_MAX bytes, EINVAL for an empty or overlong name, ENFILE for too
//! many streams; a request without a reply is ErrorKind::TimedOut. Where a message was waited for,
//! None says that the time is over, and ErrorKind::UnexpectedEof that its stream is. A timeout of
//! None waits for ever.

use std::ffi::CString;
use std::io::{Error, ErrorKind, Result};
use std::os::raw::{c_char, c_int, c_long, c_ulong, c_void};
use std::time::{Duration, Instant};

/// How many bytes a message carries at most.
pub const MESSAGE_MAX: usize = 65536;

const NAME_ROOM: usize = 256;
const MAILBOX: c_int = 0;
const TIMERS: c_int = 61;
const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const ENODATA: i32 = 61;
const EMSGSIZE: i32 = 90;
const ETIMEDOUT: i32 = 110;

#[repr(C)]
struct Head {
    stream: c_int,
    flags: c_int,
    number: u64,
    length: usize,
    from: [u8; NAME_ROOM],
    to: [u8; NAME_ROOM],
}

extern "C" {
    fn radics_send(to: *const c_char, payload: *const c_void, n: usize, lifetime_s: c_ulong)
        -> c_int;
    fn radics_receive(stream: c_int, buf: *mut c_void, cap: usize, timeout_ns: i64, head: *mut Head)
        -> c_long;
    fn radics_subscribe(source: *const c_char) -> c_int;
    fn radics_subscribe_after(source: *const c_char, after: u64) -> c_int;
    fn radics_serve(service: *const c_char) -> c_int;
    fn radics_close(stream: c_int) -> c_int;
    fn radics_request(
        to: *const c_char, payload: *const c_void, n: usize, reply: *mut c_void, cap: usize,
        timeout_ns: i64, head: *mut Head,
    ) -> c_long;
    fn radics_timer(delay_ns: i64, period_ns: i64) -> i64;
    fn radics_timer_cancel(timer: i64) -> c_int;
    fn radics_checkpoint() -> c_int;
    fn radics_move_near(source: *const c_char) -> c_int;
    fn radics_move_to(node: *const c_char) -> c_int;
    fn radics_stay() -> c_int;
    fn radics_move_free() -> c_int;
    fn radics_kv_get(key: *const c_char, value: *mut c_void, cap: usize) -> c_long;
    fn radics_kv_put(key: *const c_char, value: *const c_void, n: usize) -> c_int;
    fn radics_kv_erase(key: *const c_char) -> c_int;
    fn radics_kv_list(keys: *mut c_char, cap: usize) -> c_long;
    fn radics_info(what: c_int, buf: *mut c_char, cap: usize) -> c_long;
    fn radics_log(level: c_int, text: *const c_char) -> c_int;
}

fn check(result: i64) -> Result<i64> {
    if result < 0 {
        return Err(Error::from_raw_os_error(-result as i32));
    }
    Ok(result)
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::from(ErrorKind::InvalidInput))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&c| c == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn ns(time: Option<Duration>) -> i64 {
    time.map_or(-1, |t| t.as_nanos().min(i64::MAX as u128) as i64)
}

// ---- messages --------------------------------------------------------------------------------

/// What somebody sent, or a source published.
#[derive(Clone, Debug)]
pub struct Message {
    pub payload: Vec<u8>,
    /// The sender's EID; empty where a source has none.
    pub from: String,
    /// The service it was sent to; empty in a subscription.
    pub to: String,
    /// In its stream, from 1.
    pub number: u64,
}

impl Message {
    fn new(payload: Vec<u8>, head: &Head) -> Message {
        Message { payload, from: text(&head.from), to: text(&head.to), number: head.number }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// Answers a request.
    pub fn reply(&self, payload: impl AsRef<[u8]>) -> Result<()> {
        send(&self.from, payload)
    }
}

fn no_head() -> Head {
    Head { stream: 0, flags: 0, number: 0, length: 0, from: [0; NAME_ROOM], to: [0; NAME_ROOM] }
}

fn receive_from(stream: c_int, timeout: Option<Duration>) -> Result<Option<Message>> {
    let start = Instant::now();
    let mut head = no_head();
    let mut payload = vec![0u8; 4096];
    loop {
        let left = timeout.map(|t| t.saturating_sub(start.elapsed()));
        let n = unsafe {
            radics_receive(stream, payload.as_mut_ptr().cast(), payload.len(), ns(left), &mut head)
        };
        match -n as i32 {
            ETIMEDOUT => return Ok(None),
            ENODATA => return Err(Error::from(ErrorKind::UnexpectedEof)),
            EMSGSIZE => payload.resize(head.length, 0),
            EINTR => {}
            _ => {
                payload.truncate(check(n)? as usize);
                return Ok(Some(Message::new(payload, &head)));
            }
        }
    }
}

/// Sends to an EID ("dtn://node/service") or a service name. Returns when the message is safe with
/// the VM: it is delivered once, over any number of moves.
pub fn send(to: &str, payload: impl AsRef<[u8]>) -> Result<()> {
    send_for(to, payload, Duration::ZERO)
}

/// The same with how long the message may travel; zero is the node's default.
pub fn send_for(to: &str, payload: impl AsRef<[u8]>, lifetime: Duration) -> Result<()> {
    let (to, payload) = (c_string(to)?, payload.as_ref());
    let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
    let n = payload.len();
    let result =
        unsafe { radics_send(to.as_ptr(), payload.as_ptr().cast(), n, seconds as c_ulong) };
    check(result.into()).map(drop)
}

/// The next message of the mailbox: what others sent to this VM's EID.
pub fn receive(timeout: Option<Duration>) -> Result<Option<Message>> {
    receive_from(MAILBOX, timeout)
}

/// A subscription or a service: iterate over it, or take messages one by one. Several threads may
/// take from one; each message goes to one of them.
#[derive(Clone, Copy, Debug)]
pub struct Stream(c_int);

impl Stream {
    pub fn receive(&self, timeout: Option<Duration>) -> Result<Option<Message>> {
        receive_from(self.0, timeout)
    }

    /// What was not received of it is gone.
    pub fn close(self) -> Result<()> {
        check(unsafe { radics_close(self.0) }.into()).map(drop)
    }
}

/// To the stream's end.
impl Iterator for Stream {
    type Item = Message;
    fn next(&mut self) -> Option<Message> {
        self.receive(None).ok().flatten()
    }
}

fn stream(result: c_int) -> Result<Stream> {
    check(result.into()).map(|id| Stream(id as c_int))
}

/// The stream of a named data source: all its messages, from the first on, whenever they were made.
/// A name asked for twice is the same stream.
pub fn subscribe(source: &str) -> Result<Stream> {
    stream(unsafe { radics_subscribe(c_string(source)?.as_ptr()) })
}

/// The same from the message with number after + 1 on.
pub fn subscribe_after(source: &str, after: u64) -> Result<Stream> {
    stream(unsafe { radics_subscribe_after(c_string(source)?.as_ptr(), after) })
}

/// The stream of what is sent to this VM's EID + service: requests and plain messages alike. Answer
/// with Message::reply.
pub fn serve(service: &str) -> Result<Stream> {
    stream(unsafe { radics_serve(c_string(service)?.as_ptr()) })
}

/// Sends a message and waits for its reply: the first that anybody sends to the request's address.
/// The timeout is also how long the request may travel.
pub fn request(to: &str, payload: impl AsRef<[u8]>, timeout: Option<Duration>) -> Result<Message> {
    let (to, payload, mut head) = (c_string(to)?, payload.as_ref(), no_head());
    let mut reply = vec![0u8; MESSAGE_MAX];
    let n = unsafe {
        radics_request(
            to.as_ptr(), payload.as_ptr().cast(), payload.len(), reply.as_mut_ptr().cast(),
            MESSAGE_MAX, ns(timeout), &mut head,
        )
    };
    reply.truncate(check(n)? as usize);
    Ok(Message::new(reply, &head))
}

// ---- time, state, place ----------------------------------------------------------------------

/// A timer, which a move does not touch: receive_timer says when it is due, once or every period.
pub fn start_timer(delay: Duration, period: Duration) -> Result<i64> {
    check(unsafe { radics_timer(ns(Some(delay)), ns(Some(period))) })
}

/// ErrorKind::NotFound for one that was due, once, and taken.
pub fn stop_timer(timer: i64) -> Result<()> {
    check(unsafe { radics_timer_cancel(timer) }.into()).map(drop)
}

/// The next timer that is due.
pub fn receive_timer(timeout: Option<Duration>) -> Result<Option<i64>> {
    Ok(receive_from(TIMERS, timeout)?.map(|m| m.number as i64))
}

/// Has the whole VM, at this very point, written to the host's disk. Like fork it returns twice:
/// false when that is done, and true each time the VM is set back to here, because its host or QEMU
/// was lost. What was sent in between may then be sent again.
pub fn checkpoint() -> Result<bool> {
    Ok(check(unsafe { radics_checkpoint() }.into())? == 1)
}

/// This VM would like to be near the publisher of a source; the scheduler weighs it. The last of
/// the four hints counts, over moves too.
pub fn move_near(source: &str) -> Result<()> {
    check(unsafe { radics_move_near(c_string(source)?.as_ptr()) }.into()).map(drop)
}

/// It would like to be on a node, by name or id.
pub fn move_to(node: &str) -> Result<()> {
    check(unsafe { radics_move_to(c_string(node)?.as_ptr()) }.into()).map(drop)
}

/// It would like to be left where it is.
pub fn stay() -> Result<()> {
    check(unsafe { radics_stay() }.into()).map(drop)
}

/// Takes the hint back.
pub fn move_free() -> Result<()> {
    check(unsafe { radics_move_free() }.into()).map(drop)
}

// Reads a text of a length that is known only once it is there.
fn read_all(mut read: impl FnMut(*mut c_void, usize) -> c_long) -> Result<Vec<u8>> {
    let mut bytes = vec![0u8; 256];
    loop {
        let n = check(read(bytes.as_mut_ptr().cast(), bytes.len()))? as usize;
        let whole = n < bytes.len(); // radics_info ends it with a NUL
        bytes.resize(if whole { n } else { n + 1 }, 0);
        if whole {
            return Ok(bytes);
        }
    }
}

/// A value from the library OS's memory, where values move with the VM and are set back with it.
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    let key = c_string(key)?;
    match read_all(|to, room| unsafe { radics_kv_get(key.as_ptr(), to, room) }) {
        Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(None),
        other => other.map(Some),
    }
}

pub fn put(key: &str, value: impl AsRef<[u8]>) -> Result<()> {
    let (key, value) = (c_string(key)?, value.as_ref());
    let result = unsafe { radics_kv_put(key.as_ptr(), value.as_ptr().cast(), value.len()) };
    check(result.into()).map(drop)
}

/// ErrorKind::NotFound if there is none.
pub fn erase(key: &str) -> Result<()> {
    check(unsafe { radics_kv_erase(c_string(key)?.as_ptr()) }.into()).map(drop)
}

pub fn keys() -> Result<Vec<String>> {
    let list = read_all(|to, room| unsafe { radics_kv_list(to.cast(), room) })?;
    Ok(list.split(|&c| c == 0).filter(|key| !key.is_empty()).map(text).collect())
}

// ---- about -----------------------------------------------------------------------------------

fn info(what: c_int) -> String {
    let found = read_all(|to, room| unsafe { radics_info(what, to.cast(), room) });
    text(&found.unwrap_or_default())
}

fn number(what: c_int) -> u64 {
    info(what).parse().unwrap_or(0)
}

/// This VM's name; empty without a host.
pub fn name() -> String {
    info(0)
}

/// Where others send messages to.
pub fn eid() -> String {
    info(1)
}

/// The node it runs on at this moment; it may be another at the next.
pub fn host() -> String {
    info(2)
}

pub fn host_eid() -> String {
    info(3)
}

/// 1 at birth, and one more after each move.
pub fn epoch() -> u64 {
    number(4)
}

/// The version of the library OS, "major.minor"; the only one that needs no host.
pub fn abi() -> String {
    info(5)
}

/// The names given by `run --source`, in order.
pub fn sources() -> Vec<String> {
    info(6).lines().map(str::to_owned).collect()
}

/// Bytes of RAM of this VM.
pub fn memory() -> u64 {
    number(7)
}

/// How often this VM was set back to an earlier state.
pub fn branch() -> u64 {
    number(8)
}

pub fn host_abi() -> String {
    info(9)
}

#[derive(Clone, Copy, Debug)]
pub enum Level {
    Debug = 2,
    Info,
    Warn,
    Error,
}

/// A line in the VM's log, beside stdout and stderr.
pub fn log(level: Level, text: &str) -> Result<()> {
    check(unsafe { radics_log(level as c_int, c_string(text)?.as_ptr()) }.into()).map(drop)
}

// ---- the mesh --------------------------------------------------------------------------------

/// What the node that the VM is on knows of a node.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub eid: String,
    pub arch: String,
    pub cores: u32,
    /// CPU share in use, 0 to 1.
    pub load: f64,
    /// Bytes, for guests.
    pub memory_free: u64,
    pub vms: u32,
    /// Round trip from here; None: no link or not known.
    pub latency: Option<Duration>,
    /// Since it said so.
    pub age: Duration,
    /// The node this VM is on.
    pub here: bool,
}

/// A data source that the node has heard of.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub publisher: String,
    pub age: Duration,
}

fn decimal(field: &str) -> Option<f64> {
    field.parse().ok().filter(|&n: &f64| n >= 0.0)
}

fn seconds(field: &str) -> Option<Duration> {
    // from_secs_f64 panics on what is no Duration.
    decimal(field).filter(|&s| s < 1e15).map(Duration::from_secs_f64)
}

/// What the node knows of nodes and of sources.
pub fn mesh(timeout: Option<Duration>) -> Result<(Vec<Node>, Vec<Source>)> {
    let (mut nodes, mut sources) = (Vec::new(), Vec::new());
    // Unknown kinds of line, and fields behind those we know, are those of a later version.
    for line in request(":mesh", "", timeout)?.text().lines() {
        let f: Vec<&str> = line.split('\t').collect();
        if f[0] == "node" && f.len() > 10 {
            nodes.push(Node {
                name: f[1].into(),
                eid: f[2].into(),
                arch: f[3].into(),
                cores: decimal(f[4]).unwrap_or(0.0) as u32,
                load: decimal(f[5]).unwrap_or(0.0),
                memory_free: decimal(f[6]).unwrap_or(0.0) as u64,
                vms: decimal(f[7]).unwrap_or(0.0) as u32,
                latency: seconds(f[8]),
                age: seconds(f[9]).unwrap_or_default(),
                here: f[10] == "here",
            });
        } else if f[0] == "source" && f.len() > 3 {
            let age = seconds(f[3]).unwrap_or_default();
            sources.push(Source { name: f[1].into(), publisher: f[2].into(), age });
        }
    }
    Ok((nodes, sources))
}
