//! Work that takes milliseconds of a core: passwords, pictures. It is done by a few threads of lower priority, so that
//! however much there is, sockets are served first. Requests wait for a thread in a bounded queue; beyond it they are
//! refused with 503.

use std::{
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use rally_protocol::client::v1::ErrorCode;
use rustix::process::nice;
use tokio::sync::oneshot;

use crate::{error::Problem, limits::limited};

/// How much these threads step back behind the one that serves sockets.
const NICENESS: i32 = 10;

/// How long who finds the queue full is asked to stay away.
const COME_BACK_AFTER: Duration = Duration::from_secs(3);

const SECONDS: &str = "rally_background_seconds";
const WAIT_SECONDS: &str = "rally_background_wait_seconds";
const REFUSED: &str = "rally_background_refused_total";

type Job = Box<dyn FnOnce() + Send>;

/// The way to the threads. Clones share them; they end with the last one.
#[derive(Clone)]
pub struct Background {
    jobs: SyncSender<Job>,
}

impl Background {
    /// Starts so many threads, for which so many jobs may wait.
    ///
    /// # Errors
    /// The machine has no threads for us.
    pub fn start(threads: NonZeroUsize, queue_max: NonZeroUsize) -> io::Result<Self> {
        describe_histogram!(SECONDS, Unit::Seconds, "work on a background thread, by job");
        describe_histogram!(WAIT_SECONDS, Unit::Seconds, "waiting for a background thread, by job");
        describe_counter!(REFUSED, "requests refused because too many wait for a background thread, by job");
        let (jobs, queue) = sync_channel::<Job>(queue_max.get());
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..threads.get() {
            let queue = queue.clone();
            thread::Builder::new().name(format!("background-{n}")).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Has a thread do this.
    ///
    /// # Errors
    /// `at_capacity`: too many wait. `internal`: it has panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        job: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let asked = Instant::now();
        let work = move || {
            // Whoever asked may have gone.
            if reply.is_closed() {
                return;
            }
            let started = Instant::now();
            histogram!(WAIT_SECONDS, "job" => job).record(started - asked);
            let done = work();
            histogram!(SECONDS, "job" => job).record(started.elapsed());
            // Gone meanwhile.
            let _ = reply.send(done);
        };
        match self.jobs.try_send(Box::new(work)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                counter!(REFUSED, "job" => job).increment(1);
                limited("background");
                return Err(Problem::new(ErrorCode::AtCapacity, "too many ask for this at once")
                    .retry_after_s(COME_BACK_AFTER.as_secs()));
            }
            Err(TrySendError::Disconnected(_)) => return Err(Problem::internal()),
        }
        // Fails only if the job has panicked.
        answer.await.map_err(|_| Problem::internal())
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    // Of this thread alone: on Linux priorities are each thread's own. Not being allowed to is no reason not to work.
    let _ = nice(NICENESS);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic would cost the thread; the request learns of it by its answer that never comes.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a background job has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn code<T>(refused: Result<T, Problem>) -> serde_json::Value {
        let problem = refused.err().expect("refused");
        serde_json::to_value(problem.body()).expect("JSON")["code"].take()
    }

    #[tokio::test]
    async fn beyond_the_bound_one_is_refused() {
        let background = Background::start(NonZeroUsize::MIN, NonZeroUsize::MIN).expect("a thread");
        let (block, blocked) = channel::<()>();
        let (started, running) = oneshot::channel();
        let job = move || {
            let _ = started.send(());
            let _ = blocked.recv();
        };
        background.jobs.try_send(Box::new(job)).expect("room");
        running.await.expect("the thread has begun");
        background.jobs.try_send(Box::new(|| ())).expect("room for one that waits");
        assert_eq!(code(background.run("test", || ()).await), "at_capacity");
        drop(block);
        while background.run("test", || ()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_only() {
        let background = Background::start(NonZeroUsize::MIN, NonZeroUsize::MIN).expect("a thread");
        assert_eq!(code(background.run("test", || panic!("oops")).await), "internal");
        assert_eq!(background.run("test", || 7).await, Ok(7));
    }
}
