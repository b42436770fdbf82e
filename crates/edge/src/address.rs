//! Whose request it is: the address of a client, which a trusted proxy names and nobody else can.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Which proxies to believe, and whom to exempt from limits by address.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Where our proxies are.
    pub trusted_proxies: Vec<IpNet>,
    /// Where load generators are.
    pub limit_exempt: Vec<IpNet>,
}

/// What limits count by: an IPv4 address, or the first half of an IPv6 address. One customer of a provider has at least
/// a /64, so that counting single addresses would count nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Net(IpAddr);

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Net {
    /// The one that an address is in.
    pub fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

impl Addresses {
    /// Whether a proxy of ours is at this address.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&address))
    }

    /// Whether limits by address do not count here.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.limit_exempt.iter().any(|net| net.contains(&address))
    }

    /// The client of a request that came from `peer`: the right-most address that is none of our proxies. What stands
    /// to the left of it was said by somebody whom we do not trust.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let hops =
            headers.get_all(X_FORWARDED_FOR).iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
        for hop in hops {
            if !self.is_trusted(client) {
                break;
            }
            // A proxy of ours that does not know its client (`unknown`): it is counted itself.
            let Some(address) = std::str::from_utf8(hop).ok().and_then(parse) else { break };
            client = address;
        }
        client
    }
}

/// An address, perhaps with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&'static str]) -> String {
        let addresses = Addresses {
            trusted_proxies: ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a net")).into(),
            limit_exempt: Vec::new(),
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        addresses.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("198.51.100.1", &["203.0.113.9"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_a_client_says_of_itself_is_not_believed() {
        // The client sent the first one; our proxy added the second.
        assert_eq!(client("10.1.2.3", &["192.0.2.66, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &["192.0.2.66", "203.0.113.9"]), "203.0.113.9");
        // Not even when it names one of our proxies.
        assert_eq!(client("10.1.2.3", &["192.0.2.66, 10.9.9.9, 203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn several_proxies_of_ours_are_passed_over() {
        assert_eq!(client("10.1.2.3", &["203.0.113.9, 10.0.0.7", "10.0.0.8"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &["10.0.0.7"]), "10.0.0.7");
    }

    #[test]
    fn odd_forms_are_read_or_end_the_search() {
        assert_eq!(client("10.1.2.3", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(client("fd00::1", &["[2001:db8::9]:4711"]), "2001:db8::9");
        assert_eq!(client("fd00::1", &["[2001:db8::9]"]), "2001:db8::9");
        assert_eq!(client("10.1.2.3", &["::ffff:203.0.113.9"]), "203.0.113.9");
        for odd in ["unknown", "", " , ", "203.0.113.9 203.0.113.10", "_hidden"] {
            assert_eq!(client("10.1.2.3", &[odd]), "10.1.2.3", "{odd}");
        }
    }

    #[test]
    fn ipv6_is_counted_by_its_first_half() {
        let net = |text: &str| Net::of(text.parse().expect("an address"));
        assert_eq!(net("2001:db8:1:2::1"), net("2001:db8:1:2:ffff::9"));
        assert_ne!(net("2001:db8:1:2::1"), net("2001:db8:1:3::1"));
        assert_ne!(net("203.0.113.9"), net("203.0.113.10"));
    }
}
