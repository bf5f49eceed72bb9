//! The path of a fault in a text: the text is read once more, and the thread notes where.

use std::cell::RefCell;

thread_local! {
    /// The path of the value that is read; `None` while nobody wants it.
    static PATH: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Restores the earlier path, also if reading panics.
struct Before(Option<String>);

impl Drop for Before {
    fn drop(&mut self) {
        PATH.set(self.0.take());
    }
}

/// The path at which reading fails, as in `spec.containers[0].name`; empty at the top.
pub(super) fn of_fault(fails: impl FnOnce() -> bool) -> String {
    let _before = Before(PATH.replace(Some(String::new())));
    let path = if fails() { PATH.take() } else { None };
    path.unwrap_or_default()
}

/// `true` if somebody wants to know the path.
pub(super) fn is_wanted() -> bool {
    PATH.with_borrow(Option::is_some)
}

/// Enters the value of a key. The path is there until [`leave`] is called with what is returned: after a fault it is not.
pub(super) fn enter_key(key: &str) -> Option<usize> {
    enter(|path| {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    })
}

/// Enters an element of a list, as [`enter_key`] does.
pub(super) fn enter_element(index: usize) -> Option<usize> {
    enter(|path| path.extend(["[", &index.to_string(), "]"]))
}

fn enter(further: impl FnOnce(&mut String)) -> Option<usize> {
    PATH.with_borrow_mut(|path| {
        let path = path.as_mut()?;
        let outer = path.len();
        further(path);
        Some(outer)
    })
}

/// Leaves a value that was read.
pub(super) fn leave(outer: Option<usize>) {
    let Some(outer) = outer else { return };
    PATH.with_borrow_mut(|path| path.iter_mut().for_each(|path| path.truncate(outer)));
}
