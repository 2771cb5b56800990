//! Plain HTTP/1.1 to a peer that speaks nothing else: one request at a time on a connection, as many connections as are
//! needed.

use std::cell::RefCell;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[derive(Debug)]
pub(crate) struct Http {
    address: String,
    idle: RefCell<Vec<TcpStream>>,
}

impl Http {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), idle: RefCell::default() }
    }

    /// Posts a document to `/triage`; the status, or nothing where the connection breaks.
    pub(crate) async fn post(&self, document: &str) -> Option<u16> {
        let idle = self.idle.borrow_mut().pop();
        let mut socket = match idle {
            Some(socket) => socket,
            None => TcpStream::connect(&self.address).await.ok()?,
        };
        socket.set_nodelay(true).ok()?;
        let request = format!(
            "POST /triage HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{document}",
            self.address,
            document.len()
        );
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        loop {
            if socket.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
            if let Some(status) = whole(&answer) {
                self.idle.borrow_mut().push(socket);
                return Some(status);
            }
        }
    }
}

/// The status of an answer that is all there.
fn whole(answer: &[u8]) -> Option<u16> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().unwrap();
    (answer.len() >= end + length).then(|| head.split(' ').nth(1).unwrap().parse().unwrap())
}
