//! The edges that a client knows, and which one is next.

use crate::EdgeUrl;

/// More edges than this are not remembered. With a few to choose from, one that lives is found.
const EDGES_MAX: usize = 32;

/// A ring of edges. Those from the configuration are never forgotten; those that a `welcome` named are replaced by
/// those of the next `welcome`.
#[derive(Debug)]
pub(crate) struct Edges {
    known: Vec<EdgeUrl>,
    configured: usize,
    current: usize,
}

impl Edges {
    /// At least one edge; `first` is where to begin.
    pub(crate) fn new(configured: Vec<EdgeUrl>, first: usize) -> Self {
        debug_assert!(!configured.is_empty());
        Self { configured: configured.len(), current: first % configured.len(), known: configured }
    }

    pub(crate) fn current(&self) -> &EdgeUrl {
        &self.known[self.current]
    }

    /// On to the next: the current one failed or asked us to leave.
    pub(crate) fn advance(&mut self) {
        self.current = (self.current + 1) % self.known.len();
    }

    /// Takes over what a `welcome` named. URLs that we cannot speak to are left out.
    pub(crate) fn learn(&mut self, urls: &[String]) {
        let current = self.current().clone();
        self.known.truncate(self.configured);
        for url in urls.iter().filter_map(|url| url.parse::<EdgeUrl>().ok()).chain([current.clone()]) {
            if self.known.len() < EDGES_MAX.max(self.configured) && !self.known.contains(&url) {
                self.known.push(url);
            }
        }
        self.current = self.known.iter().position(|url| *url == current).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> EdgeUrl {
        text.parse().expect("a URL")
    }

    #[test]
    fn goes_round_all_that_it_knows() {
        let mut edges = Edges::new(vec![url("http://a")], 0);
        edges.advance();
        assert_eq!(*edges.current(), url("http://a"));
        edges.learn(&["http://b".into(), "https://c".into(), "http://a".into()]);
        assert_eq!(*edges.current(), url("http://a"));
        edges.advance();
        assert_eq!(*edges.current(), url("http://b"));
        // b leaves the cluster, but we are still connected to it.
        edges.learn(&["http://d".into()]);
        assert_eq!(*edges.current(), url("http://b"));
        edges.advance();
        assert_eq!(*edges.current(), url("http://a"));
        edges.advance();
        assert_eq!(*edges.current(), url("http://d"));
    }

    #[test]
    fn remembers_a_bounded_number() {
        let mut edges = Edges::new(vec![url("http://a")], 0);
        edges.learn(&(0..1_000).map(|i| format!("http://e{i}")).collect::<Vec<_>>());
        assert_eq!(edges.known.len(), EDGES_MAX);
    }
}
