//! What a panic says: its message, its place and the way there, in the log and for whoever runs what panicked.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::PanicHookInfo;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on every panic of the process is in the log, with its backtrace; and where it was told before.
pub fn install() {
    let told_before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        told_before(info);
        let (message, place) = (message(info.payload()), place(info));
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        let backtrace = Backtrace::force_capture();
        tracing::error!(event = "panic", thread, place, cause = message, %backtrace, "a fault of the program");
        LAST.with_borrow_mut(|last| *last = Some(format!("{message} ({place})")));
    }));
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(|| "at an unknown place".to_owned(), |at| format!("{}:{}", at.file(), at.line()))
}

/// What the last panic of this thread said, with its place if it is known.
pub(super) fn cause(payload: &(dyn Any + Send)) -> String {
    LAST.with_borrow_mut(Option::take).unwrap_or_else(|| message(payload))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    waybill_shared::text::printable(text.unwrap_or("a panic without words"), 1000)
}
