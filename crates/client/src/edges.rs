//! The edges that a client knows, and which one is next.

use crate::EdgeUrl;

/// More edges than this are not remembered. With a few to choose from, one that lives is found.
const EDGES_MAX: usize = 32;

/// A ring of edges. Those from the configuration are never forgotten; those that a `welcome` named are replaced by
/// those of the next `welcome`, and their order is drawn at random: every client of an edge is told the same list, and
/// when that edge dies they must not all go to the same other one.
#[derive(Debug)]
pub(crate) struct Edges {
    configured: Vec<EdgeUrl>,
    known: Vec<EdgeUrl>,
    current: usize,
}

impl Edges {
    /// At least one edge; `first` is where to begin.
    pub(crate) fn new(configured: Vec<EdgeUrl>, first: usize) -> Self {
        debug_assert!(!configured.is_empty());
        Self { current: first % configured.len(), known: configured.clone(), configured }
    }

    pub(crate) fn current(&self) -> &EdgeUrl {
        &self.known[self.current]
    }

    /// On to the next: the current one failed or asked us to leave.
    pub(crate) fn advance(&mut self) {
        self.current = (self.current + 1) % self.known.len();
    }

    /// Takes over what a `welcome` named. URLs that we cannot speak to are left out. `random` is any number each time.
    pub(crate) fn learn(&mut self, urls: &[String], mut random: impl FnMut() -> u32) {
        let current = self.current().clone();
        self.known = vec![current];
        let named = urls.iter().filter_map(|url| url.parse::<EdgeUrl>().ok());
        for url in self.configured.iter().cloned().chain(named) {
            let has_room = self.known.len() <= EDGES_MAX.max(self.configured.len());
            if has_room && !self.known.contains(&url) {
                self.known.push(url);
            }
        }
        self.current = 0;
        // Fisher and Yates; the current one stays in front.
        for last in (2..self.known.len()).rev() {
            self.known.swap(last, 1 + random() as usize % last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> EdgeUrl {
        text.parse().expect("a URL")
    }

    /// The same numbers at each run.
    fn random(mut seed: u32) -> impl FnMut() -> u32 {
        move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        }
    }

    /// All edges in the order of the attempts that would follow.
    fn round(edges: &mut Edges) -> Vec<String> {
        let names = (0..edges.known.len()).map(|_| {
            edges.advance();
            edges.current().to_string().trim_end_matches(":80").to_owned()
        });
        names.collect()
    }

    #[test]
    fn goes_round_all_that_it_knows() {
        let mut edges = Edges::new(vec![url("http://a")], 0);
        edges.advance();
        assert_eq!(*edges.current(), url("http://a"));
        edges.learn(&["http://b".into(), "https://c".into(), "http://a".into()], random(1));
        assert_eq!(*edges.current(), url("http://a"));
        let mut all = round(&mut edges);
        assert_eq!(all.pop().as_deref(), Some("http://a"), "last, since it is the one that failed");
        all.sort();
        assert_eq!(all, ["http://b"], "and not what we cannot speak to");
    }

    #[test]
    fn keeps_what_it_was_configured_with_and_where_it_is() {
        let mut edges = Edges::new(vec![url("http://a")], 0);
        edges.learn(&["http://b".into()], random(1));
        edges.advance();
        // b leaves the cluster, but we are still connected to it.
        edges.learn(&["http://d".into()], random(1));
        assert_eq!(*edges.current(), url("http://b"));
        let mut all = round(&mut edges);
        all.sort();
        assert_eq!(all, ["http://a", "http://b", "http://d"]);
    }

    #[test]
    fn clients_of_one_edge_spread_over_all_others() {
        let named: Vec<String> = ["a", "b", "c", "d", "e"].map(|name| format!("http://{name}")).into();
        let mut next = std::collections::BTreeMap::<String, u32>::new();
        for seed in 0..400 {
            let mut edges = Edges::new(vec![url("http://a")], 0);
            edges.learn(&named, random(seed));
            edges.advance();
            *next.entry(edges.current().to_string()).or_default() += 1;
        }
        assert_eq!(next.len(), 4, "{next:?}");
        assert!(next.values().all(|clients| (60..=140).contains(clients)), "{next:?}");
    }

    #[test]
    fn remembers_a_bounded_number() {
        let mut edges = Edges::new(vec![url("http://a")], 0);
        edges.learn(&(0..1_000).map(|i| format!("http://e{i}")).collect::<Vec<_>>(), random(1));
        assert_eq!(edges.known.len(), EDGES_MAX + 1, "and the one in use");
    }
}
