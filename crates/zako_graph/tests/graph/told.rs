//! Requests that are told of changes while older ones are under way.

use std::sync::Arc;

use tokio::sync::Semaphore;
use zako_graph::{Changed, Ctx, Data, Key};

use crate::sheet::{Sheet, Text};

/// Holds a computation up.
struct Gate {
    entered: Semaphore,
    open: Semaphore,
}

/// The text `b`, asked for once the gate is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Late;

impl Key for Late {
    type Value = Option<String>;

    async fn compute(&self, ctx: &Ctx) -> Option<String> {
        let gate = ctx.data::<Arc<Gate>>().unwrap();
        gate.entered.add_permits(1);
        gate.open.acquire().await.unwrap().forget();
        ctx.get(&Text("b".to_owned())).await.unwrap()
    }
}

/// The older request asks for `b`, as that was for it, after the newer one was told of its change and
/// could not know whom that reaches.
#[test]
fn what_an_older_request_finishes_is_looked_at_again() {
    let sheet = Sheet::new("b = 1");
    let b = Text("b".to_owned());
    let gate = Arc::new(Gate {
        entered: Semaphore::new(0),
        open: Semaphore::new(0),
    });
    let data = || Data::new().with(sheet.texts.clone()).with(gate.clone());
    sheet.runtime.block_on(async {
        let older = sheet.engine.begin(data());
        assert_eq!(older.get(&b).await, Ok(Some("1".to_owned())));
        let told = async {
            gate.entered.acquire().await.unwrap().forget();
            sheet.edit("b = 2");
            let newer = sheet
                .engine
                .begin_changed(data(), &Changed::new().with(b.clone()));
            gate.open.add_permits(2);
            newer
        };
        let (answer, newer) = futures::join!(older.get(&Late), told);
        assert_eq!(answer, Ok(Some("1".to_owned())));
        assert_eq!(newer.get(&Late).await, Ok(Some("2".to_owned())));
    });
}
