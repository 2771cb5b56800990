//! A peer that writes its own HTTP/2 frames, as no client would.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a call begins with, without its message.
pub fn call(stream: u32, flags: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    // Names by their places in HPACK's table, values as they are.
    for (name, value) in [(&[0x04_u8][..], path), (&[0x01], "desk"), (&[0x0f, 0x10], "application/grpc")] {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend_from_slice(value.as_bytes());
    }
    block.extend_from_slice(b"\x00\x02te\x08trailers");
    frame(HEADERS, flags, stream, &block)
}

/// What a call is answered with.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    Answer,
    Refusal,
}

/// A connection that has said that it speaks HTTP/2.
pub struct Peer(pub TcpStream);

impl Peer {
    pub async fn connect(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
        Self(socket)
    }

    pub async fn send(&mut self, frames: &[u8]) {
        self.0.write_all(frames).await.unwrap();
    }

    /// The next frame: kind, flags, stream and payload; an error at the end.
    pub async fn next(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await?;
        Ok((kind, flags, u32::from_be_bytes(stream), payload))
    }

    /// Waits for a frame of this kind.
    pub async fn wait_for(&mut self, kind: u8) -> (u32, Vec<u8>) {
        loop {
            let (found, _, stream, payload) = self.next().await.unwrap();
            if found == kind {
                return (stream, payload);
            }
        }
    }

    /// Takes the server's settings in force: how many bytes of a call it takes at a time.
    pub async fn agree(&mut self) -> usize {
        const STREAM_WINDOW: [u8; 2] = [0, 4];
        let (_, settings) = self.wait_for(SETTINGS).await;
        self.send(&frame(SETTINGS, ACK, 0, &[])).await;
        let window = settings.chunks(6).find_map(|setting| setting.strip_prefix(&STREAM_WINDOW)).unwrap();
        u32::from_be_bytes(window.try_into().unwrap()) as usize
    }

    /// Calls a method, and reads until its answer begins. The message goes out as the server takes it.
    pub async fn ask(&mut self, stream: u32, path: &str, message: &[u8], window: usize) -> Begun {
        self.send(&call(stream, END_HEADERS, path)).await;
        let (mut room, mut pieces) = (window, message.chunks(16_384).peekable());
        loop {
            while let Some(piece) = pieces.next_if(|piece| piece.len() <= room) {
                room -= piece.len();
                let flags = if pieces.peek().is_none() { END_STREAM } else { 0 };
                self.send(&frame(DATA, flags, stream, piece)).await;
            }
            match self.next().await.unwrap() {
                (WINDOW_UPDATE, _, of, more) if of == stream => {
                    room += u32::from_be_bytes(more.try_into().unwrap()) as usize;
                }
                // A refusal is all in its headers.
                (HEADERS, flags, of, _) if of == stream => {
                    return if flags & END_STREAM == 0 { Begun::Answer } else { Begun::Refusal };
                }
                _ => {}
            }
        }
    }

    /// Sends what `next` makes until the server has had enough, and reads what it answers.
    pub async fn flood(self, mut next: impl FnMut(u32) -> Vec<u8>) {
        let (mut reader, mut writer) = self.0.into_split();
        let read = async {
            let mut buffer = vec![0; 1 << 16];
            while reader.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
        };
        let write = async {
            for turn in 0_u32.. {
                if writer.write_all(&next(turn)).await.is_err() {
                    return;
                }
            }
        };
        // Whoever is told first: a connection that is closed with bytes unread is reset.
        tokio::select! { () = read => {}, () = write => {} }
    }
}

/// Waits until the server closes a connection.
pub async fn closed(socket: &mut TcpStream) {
    let mut buffer = [0; 1_024];
    while socket.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
}
