//! How many commands a Redis has served, by `INFO`: three lines of its protocol, so that no client is needed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// An `INFO` takes milliseconds; a Redis that needs longer is not to be measured.
const TIME_MAX: Duration = Duration::from_secs(3);
const REPLY_BYTES_MAX: usize = 1 << 20;

/// Counters since the server's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RedisCounts {
    /// Commands of any kind.
    pub(crate) commands: u64,
    /// Messages published.
    pub(crate) publishes: u64,
}

/// Asks the Redis at `redis://[user:password@]host:port`.
pub(crate) fn counts(url: &str) -> anyhow::Result<RedisCounts> {
    let rest = url.strip_prefix("redis://").context("expected redis://host:port")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let (login, address) = authority.rsplit_once('@').map_or((None, authority), |(login, at)| (Some(login), at));
    let address = if address.contains(':') { address.to_owned() } else { format!("{address}:6379") };
    // The address alone: a password must not get into a message.
    let stream = TcpStream::connect(&address).with_context(|| format!("cannot reach Redis at {address}"))?;
    stream.set_read_timeout(Some(TIME_MAX))?;
    stream.set_write_timeout(Some(TIME_MAX))?;
    let mut stream = BufReader::new(stream);
    if let Some(login) = login {
        let (user, password) = login.split_once(':').context("expected user:password@ in the URL of Redis")?;
        let user = if user.is_empty() { "default" } else { user };
        command(&mut stream, &["AUTH", user, password]).context("Redis refused the password")?;
    }
    let stats = command(&mut stream, &["INFO", "stats"])?;
    let commands = command(&mut stream, &["INFO", "commandstats"])?;
    Ok(parse(&stats, &commands))
}

fn parse(stats: &str, commands: &str) -> RedisCounts {
    let number = |text: &str, key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    // A command that was never called has no line.
    RedisCounts {
        commands: number(stats, "total_commands_processed:").unwrap_or(0),
        publishes: number(commands, "cmdstat_publish:calls=").unwrap_or(0)
            + number(commands, "cmdstat_spublish:calls=").unwrap_or(0),
    }
}

fn command(stream: &mut BufReader<TcpStream>, words: &[&str]) -> anyhow::Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.get_mut().write_all(request.as_bytes())?;
    let mut head = String::new();
    stream.by_ref().take(1_024).read_line(&mut head)?;
    let head = head.trim_end();
    match head.split_at_checked(1) {
        Some(("+", text)) => Ok(text.to_owned()),
        Some(("$", len)) => {
            let len: usize = len.parse().context("an unexpected reply of Redis")?;
            if len > REPLY_BYTES_MAX {
                bail!("a reply of Redis is too long");
            }
            let mut body = vec![0; len + 2];
            stream.read_exact(&mut body)?;
            Ok(String::from_utf8_lossy(&body[..len]).into_owned())
        }
        _ => bail!("Redis said: {head}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_counters() {
        let stats = "# Stats\r\ntotal_connections_received:3\r\ntotal_commands_processed:4711\r\n";
        let commands = "# Commandstats\r\ncmdstat_publish:calls=17,usec=3,usec_per_call=1.0\r\ncmdstat_get:calls=9\r\n";
        assert_eq!(parse(stats, commands), RedisCounts { commands: 4_711, publishes: 17 });
        assert_eq!(parse("", ""), RedisCounts::default());
    }
}
