//! A stand-in for the hub of models: it tells the index of one model to who has its token, and what it was asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// What opens it.
pub(crate) const TOKEN: &str = "hf_cormorantcormorant";

/// A hub on loopback, for as long as the test's process lives.
#[derive(Debug)]
pub(crate) struct Hub {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// Its model has one file of weights, of so many bytes.
    pub(crate) fn start(bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (port, asked) = (listener.local_addr().expect("an address").port(), Arc::default());
        let seen: Arc<Mutex<Vec<String>>> = Arc::clone(&asked);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let lines = BufReader::new(&connection).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let known =
                    head.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: bearer {TOKEN}")));
                seen.lock().expect("a list").push(format!(
                    "{} {}",
                    head.first().cloned().unwrap_or_default(),
                    in_argv()
                ));
                let index = serde_json::json!({ "id": "org/M", "siblings": [
                    { "rfilename": "config.json", "size": 0, "blobId": "a" },
                    { "rfilename": "model.safetensors", "size": bytes },
                    { "rfilename": "original/consolidated.pth", "size": bytes },
                ] });
                let (status, body) = if known { ("200 OK", index.to_string()) } else { ("401 No", "{}".to_owned()) };
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                drop((&connection).write_all(answer.as_bytes()));
            }
        });
        Self { port, asked }
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a list").clone()
    }
}

/// Whether any process can be seen with the token in its arguments, while it is asked.
fn in_argv() -> &'static str {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let arguments = |process: std::fs::DirEntry| std::fs::read(process.path().join("cmdline")).unwrap_or_default();
    let shown = processes.map(arguments).any(|text| String::from_utf8_lossy(&text).contains(TOKEN));
    if shown { "(the token is in an argv)" } else { "" }
}
