//! `zako doctor`: is everything there that zako needs?
//!
//! Looks and reports; changes nothing but a file that it makes in the cache folder and removes again.

mod machine;
#[cfg_attr(windows, path = "doctor/windows/room.rs")]
mod room;
mod scripts;
mod store;
mod tools;

use crate::arguments::Options;
use crate::command::Done;
use crate::failure::Exit;
use crate::open::{start_of, state_options_of};
use crate::terminal::{Palette, Terminal};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Works, but not for everything.
    Doubtful,
    /// zako does not work without it.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    state: State,
    name: &'static str,
    found: String,
    advice: Option<String>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            state: State::Good,
            name,
            found: found.into(),
            advice: None,
        }
    }

    fn doubtful(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            state: State::Doubtful,
            name,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn bad(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            state: State::Bad,
            name,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn line(&self, palette: Palette) -> String {
        let state = match self.state {
            State::Good => palette.good("ok     "),
            State::Doubtful => palette.doubtful("warning"),
            State::Bad => palette.bad("problem"),
        };
        let advice = self
            .advice
            .as_ref()
            .map_or_else(String::new, |advice| format!("\n         help: {advice}"));
        format!("{state}  {}: {}{advice}\n", self.name, self.found)
    }
}

pub(crate) fn run(options: &Options, terminal: &Terminal) -> Done {
    let start = start_of(options)?;
    let state = state_options_of(options, &start)?;
    let mut checks = vec![machine::version(), machine::resources()];
    checks.extend(machine::isolation(&start));
    checks.push(machine::nested());
    checks.extend(tools::all());
    checks.extend(store::all(&state.cache_dir));
    checks.extend(scripts::all(state, &start));
    terminal.product(&text(&checks, terminal.product_palette()))?;
    Ok(exit(&checks))
}

fn text(checks: &[Check], palette: Palette) -> String {
    checks.iter().map(|check| check.line(palette)).collect()
}

fn exit(checks: &[Check]) -> Exit {
    let broken = checks.iter().any(|check| check.state == State::Bad);
    if broken {
        zako_core::Fault::Environment.into()
    } else {
        Exit::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_how_it_is_and_what_to_do() {
        let checks = [
            Check::good("zako", "0.1.0"),
            Check::doubtful("c++", "not found", "install g++"),
            Check::bad("V8", "does not start", "report it"),
        ];
        insta::assert_snapshot!(text(&checks, Palette::PLAIN), @"
ok       zako: 0.1.0
warning  c++: not found
         help: install g++
problem  V8: does not start
         help: report it
");
    }

    #[test]
    fn only_what_is_broken_fails() {
        assert_eq!(
            exit(&[Check::good("a", "b"), Check::doubtful("a", "b", "c")]),
            Exit(0)
        );
        assert_eq!(
            exit(&[Check::good("a", "b"), Check::bad("a", "b", "c")]),
            Exit(3)
        );
    }
}
