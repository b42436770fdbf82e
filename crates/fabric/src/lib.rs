//! Redis behind our own types: registry, mailboxes, topics, queue, probes.
