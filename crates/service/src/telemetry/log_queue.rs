//! A bounded queue between whoever logs and the file that may block.
//!
//! A tick must not wait for a terminal. When the reader of our stderr is slower than we log, lines are dropped and
//! counted (`rally_log_lines_dropped_total`); nobody waits.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

/// Lines waiting, at most: some megabytes, and more than a second of any sane level.
const LINES_MAX: usize = 8192;

/// How long the end of the process waits for lines to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Takes log lines and has a thread write them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct LogQueue {
    items: SyncSender<Item>,
    prefix: Arc<str>,
}

impl LogQueue {
    /// Starts the thread. `prefix` is put into every line: after the brace of a JSON object, else before it.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(to: impl io::Write + Send + 'static, prefix: String) -> io::Result<Self> {
        let (items, queued) = sync_channel(LINES_MAX);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(queued, to))?;
        Ok(Self { items, prefix: prefix.into() })
    }

    /// Waits until what was logged before is written, a second at most.
    pub(super) fn flush(&self) {
        let started = Instant::now();
        let (done, is_done) = sync_channel(1);
        let mut item = Item::Flush(done);
        while let Err(e) = self.items.try_send(item) {
            match e {
                TrySendError::Full(back) if started.elapsed() < FLUSH_WITHIN => item = back,
                _ => return,
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _ = is_done.recv_timeout(FLUSH_WITHIN.saturating_sub(started.elapsed()));
    }
}

fn write_all(queued: Receiver<Item>, mut to: impl io::Write) {
    while let Ok(item) = queued.recv() {
        // Where stderr is gone, there is nobody to tell.
        match item {
            Item::Line(line) => _ = to.write_all(&line),
            Item::Flush(done) => {
                let _ = to.flush();
                let _ = done.try_send(());
            }
        }
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(self)
    }
}

/// Writes one event, which the formatter hands over whole.
#[derive(Debug)]
pub(super) struct LineWriter<'a>(&'a LogQueue);

impl io::Write for LineWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let prefix = self.0.prefix.as_bytes();
        let mut line = Vec::with_capacity(prefix.len() + bytes.len());
        match bytes.split_first() {
            Some((b'{', rest)) => {
                line.push(b'{');
                line.extend_from_slice(prefix);
                line.extend_from_slice(rest);
            }
            _ => {
                line.extend_from_slice(prefix);
                line.extend_from_slice(bytes);
            }
        }
        if self.0.items.try_send(Item::Line(line)).is_err() {
            metrics::counter!("rally_log_lines_dropped_total").increment(1);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Blocks until told.
    struct Stuck(Receiver<()>);

    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_not_time() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let (release, stuck) = sync_channel(0);
            let queue = LogQueue::start(Stuck(stuck), String::new()).expect("queue");
            // One more than fit, and one that the thread may have taken out already.
            for _ in 0..LINES_MAX + 2 {
                queue.make_writer().write_all(b"line\n").expect("never fails");
            }
            drop(release);
        });
        let text = handle.render();
        assert!(
            text.contains("rally_log_lines_dropped_total 1\n") || text.contains("rally_log_lines_dropped_total 2\n"),
            "{text}"
        );
    }
}
