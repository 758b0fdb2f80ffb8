//! A handle of sled that closes without a panic.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Holds a handle, and catches a panic of its drop. Sled panics while it closes if the system does not make its file durable.
/// The log and the newest snapshot have everything that the file then lacks.
pub(super) struct Closing<T>(Option<T>);

impl<T> Closing<T> {
    pub(super) fn new(handle: T) -> Self {
        Self(Some(handle))
    }
}

impl<T> Deref for Closing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only the drop takes the handle")
    }
}

impl<T> Drop for Closing<T> {
    fn drop(&mut self) {
        let handle = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(handle))).is_err() {
            tracing::warn!(
                "sled could not make a keystore durable while it closed: the log and the snapshot have everything"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panicking;

    impl Drop for Panicking {
        fn drop(&mut self) {
            panic!("Input/output error (os error 5)");
        }
    }

    #[test]
    fn a_panic_while_a_handle_closes_ends_there() {
        drop(Closing::new(Panicking));
        let other = catch_unwind(|| {
            let _handle = Closing::new(Panicking);
            panic!("another one");
        });
        assert_eq!(other.unwrap_err().downcast_ref(), Some(&"another one"));
    }
}
