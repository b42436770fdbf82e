//! Redis as one meets it who has stolen its password: published bytes, and others' mailboxes.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::LONG;

/// One connection.
pub(crate) struct Resp(BufReader<TcpStream>);

impl Resp {
    pub(crate) async fn connect(port: u16) -> Self {
        Self(BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()))
    }

    async fn command(&mut self, parts: &[&[u8]]) {
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&bytes).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(LONG, self.0.read_line(&mut line)).await.expect("an answer").unwrap();
        line.trim_end().to_owned()
    }

    /// How many received it.
    pub(crate) async fn publish(&mut self, channel: &str, bytes: &[u8]) -> u32 {
        self.command(&[b"PUBLISH", channel.as_bytes(), bytes]).await;
        let answer = self.line().await;
        answer.strip_prefix(':').and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// Listens to a channel from now on.
    pub(crate) async fn subscribe(&mut self, channel: &str) {
        self.command(&[b"SUBSCRIBE", channel.as_bytes()]).await;
        // Three parts, two of them with their lengths.
        for _ in 0..6 {
            self.line().await;
        }
    }

    /// What is said there next.
    pub(crate) async fn message(&mut self) -> Vec<u8> {
        // `message`, the channel, then the bytes.
        for _ in 0..5 {
            self.line().await;
        }
        let length = self.line().await;
        let length: usize = length.strip_prefix('$').and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{length}"));
        let mut bytes = vec![0; length + 2];
        timeout(LONG, self.0.read_exact(&mut bytes)).await.expect("the rest").unwrap();
        bytes.truncate(length);
        bytes
    }
}
