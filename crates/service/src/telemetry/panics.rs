//! A panic in a task is a fault like another: logged in the same format, and counted.

use std::panic;

use super::LogQueue;

/// Replaces the hook that prints plain text. The panic itself takes its course.
pub(super) fn install(logs: LogQueue) {
    // Alerts look at a rise, and from nothing to one is none.
    metrics::counter!("rally_panics_total").increment(0);
    metrics::counter!("rally_log_lines_dropped_total").increment(0);
    panic::set_hook(Box::new(move |info| {
        metrics::counter!("rally_panics_total").increment(1);
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("a value that is no text");
        let thread = std::thread::current();
        tracing::error!(location, thread = thread.name().unwrap_or_default(), "panicked: {message}");
        // The process may end right after.
        logs.flush();
    }));
}
