//! The far end as a process of its own, spoken to in frames: one Python that has read it once starts it for each case.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(30);

/// What greets, before any frame.
pub(crate) const GREETING: &[u8] = b"\nn0nce relay\n";

/// Starts the far end, as if it were alone, whenever two connections come: its input and output, and its errors, at whose
/// end stands its exit status.
const STARTER: &str = r#"
import os, selectors, signal, socket, struct, sys
code = compile(sys.argv[2], "far_end", "exec")
door = socket.socket(socket.AF_UNIX)
door.connect(sys.argv[1])
while True:
    if not door.recv(1):
        break
    wires, errors = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    wires.connect(sys.argv[1])
    errors.connect(sys.argv[1])
    child = os.fork()
    if child == 0:
        os.dup2(wires.fileno(), 0)
        os.dup2(wires.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        for one in (door, wires, errors):
            one.close()
        sys.argv = ["-c"] + sys.argv[3:]
        exec(code, {"__name__": "__main__"})
        sys.exit(0)
    wires.close()
    status = os.waitpid(child, 0)[1]
    try:
        errors.sendall(b"status %d" % status)
    except OSError:
        pass  # a case that failed waits for nothing
    errors.close()
"#;

/// The starter, and the servers behind it.
struct Starter {
    process: Child,
    listener: UnixListener,
    door: UnixStream,
    _folder: TempDir,
}

/// One at a time.
static STARTER_OF_ALL: LazyLock<Mutex<Starter>> = LazyLock::new(|| Mutex::new(Starter::new()));

impl Starter {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("door");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let process = Command::new("python3")
            .args(["-c", STARTER])
            .arg(&socket)
            .args([include_str!("../../src/host/relay/far_end.py"), "n0nce", "127.0.0.1", &servers().to_string()])
            .stdin(Stdio::null())
            .spawn()
            .expect("python3 on the PATH (Debian: apt-get install python3)");
        let (door, _) = listener.accept().expect("the starter");
        Self { process, listener, door, _folder: folder }
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A far end that runs.
pub(crate) struct FarEnd {
    pub(crate) wires: UnixStream,
    errors: UnixStream,
}

impl FarEnd {
    /// Starts one, and gives it to `talk`; no other runs meanwhile.
    pub(crate) fn with<T>(talk: impl FnOnce(Self) -> T) -> T {
        let mut starter = STARTER_OF_ALL.lock().unwrap_or_else(PoisonError::into_inner);
        starter.door.write_all(b"x").expect("the starter lives");
        let next = || {
            let (stream, _) = starter.listener.accept().expect("a far end");
            stream.set_read_timeout(Some(LONG)).expect("a socket");
            stream
        };
        let (wires, errors) = (next(), next());
        talk(Self { wires, errors })
    }

    /// It is told nothing more. Whether it ended well, and what it said.
    pub(crate) fn ended(mut self) -> (bool, String) {
        // It may have ended.
        let _ = self.wires.shutdown(Shutdown::Write);
        let mut said = String::new();
        self.errors.read_to_string(&mut said).expect("it ends");
        let (said, status) = said.rsplit_once("status ").expect("a status");
        (status == "0", said.to_owned())
    }
}

/// A server that does with a connection what its first byte says; its port.
fn servers() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(|| serve(stream));
        }
    });
    port
}

/// `b`: breaks off. Anything else is said back, to the end.
fn serve(mut stream: TcpStream) {
    let mut piece = vec![0; 64 * 1024];
    let mut first = true;
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        let read = piece.get(..read).unwrap_or_default();
        if std::mem::take(&mut first) && read.first() == Some(&b'b') {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return;
        }
        if stream.write_all(read).is_err() {
            return;
        }
    }
}
