//! Running out of interner ids, in a process of its own because ids never come back.
#![expect(clippy::unwrap_used, reason = "tests")]

use zako_interner::{InternError, MAX_INTERNERS, ThreadedInterner};

#[test]
fn ids_run_out_as_an_error_and_are_not_reused() {
    let first = ThreadedInterner::new().unwrap();
    let key = first.get_or_intern("kept").unwrap();
    for _ in 1..MAX_INTERNERS {
        assert_ne!(ThreadedInterner::new().unwrap().id(), first.id());
    }
    for _ in 0..1000 {
        assert_eq!(
            ThreadedInterner::new().unwrap_err(),
            InternError::InternersExhausted
        );
    }
    assert_eq!(first.resolve(key), Ok("kept"));
}
