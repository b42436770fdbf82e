//! HTTP by hand, where an address to come from or an odd header matters.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::LONG;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body, which is JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A connection from an address of loopback.
pub(crate) async fn connect_from(from: [u8; 4], port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::from(from), 0).into())?;
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
}

/// A request whose answer ends with the connection.
pub(crate) async fn request(
    from: [u8; 4],
    port: u16,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = connect_from(from, port).await?;
    let mut text = format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).await?;
    let mut bytes = Vec::new();
    timeout(LONG, stream.read_to_end(&mut bytes)).await??;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no status in {head:?}")))?;
    let answer = Answer { status, head: head.to_owned(), body: String::new() };
    let is_chunked = answer.header("transfer-encoding") == Some("chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Ok(Answer { body, ..answer })
}

/// A body that came in chunks, each behind its length.
fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 {
            break;
        }
        body.push_str(after.get(..length).unwrap_or(after));
        rest = after.get(length + 2..).unwrap_or("");
    }
    body
}

/// `GET` from 127.0.0.1.
pub(crate) async fn get(port: u16, path: &str) -> std::io::Result<Answer> {
    request([127, 0, 0, 1], port, &format!("GET {path}"), &[], "").await
}

/// `POST` of JSON from an address.
pub(crate) async fn post(from: [u8; 4], port: u16, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [headers, &[("content-type", "application/json")]].concat();
    request(from, port, &format!("POST {path}"), &headers, body).await.unwrap()
}

/// The sum of a metric over all its series that have these labels, as the admin port tells it.
pub(crate) async fn metric(admin_port: u16, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = get(admin_port, "/metrics").await.unwrap().body;
    let mut sum = 0.0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (found, given) = series.split_once('{').unwrap_or((series, ""));
        if found == name && labels.iter().all(|(label, is)| given.contains(&format!("{label}=\"{is}\""))) {
            sum += value.parse::<f64>().unwrap();
        }
    }
    sum
}
