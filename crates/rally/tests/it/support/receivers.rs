//! Who is told things: small servers of HTTP and of SMTP that keep what they are given.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::LONG;

/// A request that was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// Takes what comes, and says yes to it.
pub(crate) struct Receiver<T> {
    pub(crate) port: u16,
    kept: mpsc::Receiver<T>,
}

impl<T> Receiver<T> {
    /// The next one.
    pub(crate) async fn next(&mut self) -> T {
        timeout(LONG, self.kept.recv()).await.expect("something in time").expect("a receiver")
    }

    /// What has come and was not asked for.
    pub(crate) fn rest(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.kept.try_recv().ok()).collect()
    }
}

impl Receiver<Received> {
    /// One of HTTP.
    pub(crate) async fn http() -> Self {
        let (listener, port, keep, kept) = listen().await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keep = keep.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while take_request(&mut stream, &keep).await.is_some() {}
                });
            }
        });
        Self { port, kept }
    }
}

impl Receiver<String> {
    /// One of SMTP, without TLS: letters, each with its recipients in front.
    pub(crate) async fn smtp() -> Self {
        let (listener, port, keep, kept) = listen().await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keep = keep.clone();
                tokio::spawn(async move { take_letters(&mut BufReader::new(stream), &keep).await });
            }
        });
        Self { port, kept }
    }
}

async fn listen<T>() -> (TcpListener, u16, mpsc::Sender<T>, mpsc::Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (keep, kept) = mpsc::channel(1_024);
    (listener, port, keep, kept)
}

async fn take_request(stream: &mut BufReader<TcpStream>, keep: &mpsc::Sender<Received>) -> Option<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let path = head.split_whitespace().nth(1)?.to_owned();
    keep.send(Received { path, body }).await.ok()?;
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()
}

async fn take_letters(stream: &mut BufReader<TcpStream>, keep: &mpsc::Sender<String>) -> Option<()> {
    let mut say = "220 inbox\r\n";
    let mut letter = String::new();
    loop {
        stream.get_mut().write_all(say.as_bytes()).await.ok()?;
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let command = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        say = match command.as_str() {
            "EHLO" => "250-inbox\r\n250 AUTH PLAIN\r\n",
            "AUTH" => {
                letter.push_str(&line);
                "235 welcome\r\n"
            }
            "RCPT" => {
                letter.push_str(&line);
                "250 fine\r\n"
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n").await.ok()?;
                while !letter.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut letter).await.ok()? == 0 {
                        return None;
                    }
                }
                keep.send(std::mem::take(&mut letter)).await.ok()?;
                "250 taken\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
    }
}
