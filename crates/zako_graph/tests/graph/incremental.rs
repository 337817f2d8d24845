//! What is computed again after an edit, and what is not.

use zako_graph::{Cause, Data, GraphError};

use crate::sheet::{Sheet, Text, cell};

#[test]
fn computes_on_demand_only() {
    let sheet = Sheet::new("a = 1\nb = 2\nsum = a + b\nother = 9");
    sheet.check(
        "sum",
        3,
        &[
            "computed 'sum",
            "computed 'a",
            "computed a",
            "computed 'b",
            "computed b",
            "computed sum",
        ],
    );
    assert_eq!(sheet.engine.node_count(), 6);
}

#[test]
fn a_null_request_reads_leaves_and_computes_nothing() {
    let sheet = Sheet::new("a = 1\nsum = a + a");
    sheet.get("sum").unwrap().unwrap();
    sheet.check(
        "sum",
        2,
        &["cut off 'sum", "cut off 'a", "verified a", "verified sum"],
    );
}

#[test]
fn leaves_are_read_once_in_a_revision() {
    let sheet = Sheet::new("a = 1\nb = a + a\nc = a + b");
    let request = sheet.begin();
    sheet
        .runtime
        .block_on(request.get_all([cell("b"), cell("c"), cell("c")]))
        .unwrap();
    assert_eq!(
        sheet
            .log()
            .iter()
            .filter(|event| event.ends_with("'a"))
            .count(),
        1
    );
    // An edit shows in the next revision and not in this one.
    sheet.edit("a = 5");
    assert_eq!(sheet.runtime.block_on(request.get(&cell("c"))), Ok(Ok(3)));
    assert_eq!(sheet.log(), [""; 0]);
    assert_eq!(sheet.get("c"), Ok(Ok(15)));
}

#[test]
fn a_change_reaches_what_depends_on_it() {
    let sheet = Sheet::new("a = 1\nb = 2\nleft = a\nright = b\nsum = left + right");
    sheet.get("sum").unwrap().unwrap();
    sheet.edit("b = 20");
    sheet.check(
        "sum",
        21,
        &[
            "cut off 'sum",
            "cut off 'left",
            "cut off 'a",
            "verified a",
            "verified left",
            "cut off 'right",
            "computed 'b",
            "computed b",
            "computed right",
            "computed sum",
        ],
    );
}

#[test]
fn an_equal_value_cuts_off_those_above() {
    let sheet = Sheet::new("a = 11\nten = a / 10\ntop = ten + ten");
    sheet.check(
        "top",
        2,
        &[
            "computed 'top",
            "computed 'ten",
            "computed 'a",
            "computed a",
            "computed ten",
            "computed top",
        ],
    );
    sheet.edit("a = 12");
    sheet.check(
        "top",
        2,
        &[
            "cut off 'top",
            "cut off 'ten",
            "computed 'a",
            "computed a",
            "cut off ten",
            "verified top",
        ],
    );
    // The cut is remembered as such: what is above stays green later on too.
    sheet.check(
        "top",
        2,
        &[
            "cut off 'top",
            "cut off 'ten",
            "cut off 'a",
            "verified a",
            "verified ten",
            "verified top",
        ],
    );
}

#[test]
fn a_change_that_is_undone_between_asks_is_no_change_for_who_did_not_look() {
    let sheet = Sheet::new("a = 1\nb = a\nc = a");
    sheet.get("b").unwrap().unwrap();
    sheet.get("c").unwrap().unwrap();
    sheet.edit("a = 2");
    assert_eq!(sheet.get("b"), Ok(Ok(2)));
    sheet.edit("a = 1");
    assert_eq!(sheet.get("b"), Ok(Ok(1)));
    // `c` saw neither edit; it must come out right, and may be computed in vain.
    assert_eq!(sheet.get("c"), Ok(Ok(1)));
}

#[test]
fn verification_goes_in_order_and_stops_at_the_first_change() {
    // Were `div` verified although `guard` has changed, it would be computed with a zero and panic.
    let sheet = Sheet::new("guard = 1\nzero = 1\ndiv = 10 / zero\ntop = if guard div 7");
    assert_eq!(sheet.get("top"), Ok(Ok(10)));
    sheet.edit("guard = 0\nzero = 0");
    sheet.check(
        "top",
        7,
        &[
            "cut off 'top",
            "computed 'guard",
            "computed guard",
            "computed top",
        ],
    );
}

#[test]
fn dependencies_are_those_of_the_last_computation() {
    let sheet = Sheet::new("c = 1\na = 10\nb = 20\npick = if c a b");
    assert_eq!(sheet.get("pick"), Ok(Ok(10)));
    sheet.edit("c = 0");
    assert_eq!(sheet.get("pick"), Ok(Ok(20)));
    sheet.edit("a = 11");
    sheet.check(
        "pick",
        20,
        &[
            "cut off 'pick",
            "cut off 'c",
            "verified c",
            "cut off 'b",
            "verified b",
            "verified pick",
        ],
    );
    assert_eq!(
        sheet.engine.why(&cell("pick")).unwrap().dependencies,
        ["'pick", "c", "b"]
    );
}

#[test]
fn a_group_is_verified_as_a_group() {
    let sheet = Sheet::new("a = 1\nb = 2\nc = 3\nsum = all a b c");
    assert_eq!(sheet.get("sum"), Ok(Ok(6)));
    // All three leaves are read before any cell is verified: they were asked for side by side.
    sheet.check(
        "sum",
        6,
        &[
            "cut off 'sum",
            "cut off 'a",
            "cut off 'b",
            "cut off 'c",
            "verified a",
            "verified b",
            "verified c",
            "verified sum",
        ],
    );
    sheet.edit("a = 4");
    sheet.log();
    assert_eq!(sheet.get("sum"), Ok(Ok(9)));
    // What the group's check began is used by the computation and never begun twice or given up.
    let mut log = sheet.log();
    log.sort();
    assert_eq!(
        log,
        [
            "computed 'a",
            "computed a",
            "computed sum",
            "cut off 'b",
            "cut off 'c",
            "cut off 'sum",
            "verified b",
            "verified c",
        ]
    );
}

#[test]
fn a_removed_and_a_new_cell_are_changes() {
    let sheet = Sheet::new("sum = a + 1");
    assert_eq!(sheet.get("sum"), Ok(Err("no cell a".into())));
    // An error that is a value is kept like any other.
    assert_eq!(sheet.get("sum"), Ok(Err("no cell a".into())));
    assert!(sheet.log().contains(&"verified sum".to_owned()));
    sheet.edit("a = 1");
    assert_eq!(sheet.get("sum"), Ok(Ok(2)));
    sheet.edit("-a");
    assert_eq!(sheet.get("sum"), Ok(Err("no cell a".into())));
}

#[test]
fn transient_results_last_one_revision_and_taint_what_uses_them() {
    let sheet = Sheet::new("a = 1\nt = fleeting a\nu = t + 1\nx = 5\nboth = u + x");
    assert_eq!(sheet.get("both"), Ok(Ok(7)));
    let log = sheet.log();
    for event in [
        "transient t",
        "transient u",
        "transient both",
        "computed a",
        "computed x",
    ] {
        assert!(log.contains(&event.to_owned()), "{event} in {log:?}");
    }
    assert_eq!(sheet.engine.why(&cell("t")), None);
    assert_eq!(sheet.engine.why(&cell("both")), None);
    // Again, though nothing has changed.
    let request = sheet.begin();
    assert_eq!(
        sheet.runtime.block_on(request.get(&cell("both"))),
        Ok(Ok(7))
    );
    assert!(sheet.log().contains(&"transient t".to_owned()));
    // Within the revision it is shared with later askers.
    assert_eq!(sheet.runtime.block_on(request.get(&cell("u"))), Ok(Ok(2)));
    assert_eq!(sheet.log(), [""; 0]);
    // Once it is no longer transient, it is kept.
    sheet.edit("t = a");
    assert_eq!(sheet.get("both"), Ok(Ok(7)));
    sheet.log();
    assert_eq!(sheet.get("both"), Ok(Ok(7)));
    assert!(
        !sheet
            .log()
            .iter()
            .any(|event| event.starts_with("computed") || event.starts_with("transient"))
    );
}

#[test]
fn a_transient_result_in_between_spoils_nothing() {
    let sheet = Sheet::new("a = 1\nt = a\nu = t + 1");
    assert_eq!(sheet.get("u"), Ok(Ok(2)));
    sheet.edit("t = fleeting 50");
    assert_eq!(sheet.get("t"), Ok(Ok(50)));
    sheet.edit("t = a");
    // `u` was not asked for meanwhile, and `t` is again what `u` saw.
    sheet.log();
    assert_eq!(sheet.get("u"), Ok(Ok(2)));
    let log = sheet.log();
    assert!(log.contains(&"cut off t".to_owned()), "{log:?}");
    assert!(log.contains(&"verified u".to_owned()), "{log:?}");
}

#[test]
fn the_graph_knows_why() {
    let sheet = Sheet::new("a = 1\nb = 2\nsum = a + b");
    assert_eq!(sheet.engine.why(&cell("sum")), None);
    sheet.get("sum").unwrap().unwrap();
    let first = sheet.engine.why(&cell("sum")).unwrap();
    assert_eq!(first.cause, Cause::First);
    assert_eq!(first.dependencies, ["'sum", "a", "b"]);

    sheet.edit("b = 3");
    sheet.get("sum").unwrap().unwrap();
    let second = sheet.engine.why(&cell("sum")).unwrap();
    assert_eq!(
        second.cause,
        Cause::Changed {
            dependency: "b".into()
        }
    );
    assert!(second.computed_at > first.computed_at);
    assert_eq!(
        sheet.engine.why(&cell("b")).unwrap().cause,
        Cause::Changed {
            dependency: "'b".into()
        }
    );
    assert_eq!(
        sheet.engine.why(&Text("b".into())).unwrap().cause,
        Cause::Leaf
    );
    let a = sheet.engine.why(&cell("a")).unwrap();
    assert_eq!((a.cause, a.changed_at), (Cause::First, first.changed_at));
    assert!(a.verified_at > a.computed_at);

    // Still the same answer after a revision in which nothing happened.
    sheet.get("sum").unwrap().unwrap();
    let third = sheet.engine.why(&cell("sum")).unwrap();
    assert_eq!(
        (third.cause, third.computed_at),
        (second.cause, second.computed_at)
    );
    assert!(third.verified_at > second.verified_at);
}

#[test]
fn revisions_may_overlap() {
    let sheet = Sheet::new("a = 1\nb = a\nc = b");
    let old = sheet.begin();
    assert_eq!(sheet.runtime.block_on(old.get(&cell("b"))), Ok(Ok(1)));
    sheet.edit("a = 2");
    let new = sheet.begin();
    assert!(new.revision() > old.revision());
    assert_eq!(sheet.runtime.block_on(new.get(&cell("b"))), Ok(Ok(2)));
    // What is newer serves the older request; and what that makes is verified again by later ones.
    assert_eq!(sheet.runtime.block_on(old.get(&cell("c"))), Ok(Ok(2)));
    assert_eq!(sheet.runtime.block_on(new.get(&cell("c"))), Ok(Ok(2)));
    sheet.edit("a = 3");
    assert_eq!(sheet.get("c"), Ok(Ok(3)));
}

#[test]
fn missing_data_is_an_error() {
    let data = Data::new().with(1_u8);
    assert_eq!(data.get::<u8>(), Ok(&1));
    let error = data.get::<String>().unwrap_err();
    assert_eq!(
        error,
        GraphError::MissingData {
            type_name: "alloc::string::String"
        }
    );
    assert_eq!(
        error.to_string(),
        "the request holds no data of type alloc::string::String"
    );
}
