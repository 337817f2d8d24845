//! `retries` of an action: how often it is tried again, after which ends, and how far apart.

use std::time::Duration;

use zako_action::{MAX_RETRIES, RetryCauses, RetryPolicy};
use zako_exec::{SIGNALS, signal_number};
use zako_script::{Value, nearest};

use super::fields::{Fields, whole};
use super::quantity;

/// The longest pause before the first retry: a build that waits longer looks as if it hung.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The largest exit code that a process can have.
const MAX_CODE: u32 = 255;

/// What `{ … }` takes.
const KEYS: [&str; 3] = ["times", "on", "pause"];

/// What [`RetryCauses`] are made of, besides codes and signals.
const KINDS: [&str; 3] = ["code", "signal", "timeout"];

/// The policy that an action declares; `None` for one that is never tried again.
pub(super) fn parse(fields: &Fields<'_>) -> Result<Option<Box<RetryPolicy>>, String> {
    let of = fields.of;
    let given = match fields.get("retries") {
        Some(Value::Object(given)) => Fields {
            fields: given,
            ..*fields
        },
        Some(value @ (Value::String(_) | Value::Bool(_) | Value::Array(_))) => {
            let wanted =
                format!("a whole number from 0 to {MAX_RETRIES}, or {{ times, on, pause }}");
            return fields.wrong("retries", &wanted, value);
        }
        _ => {
            let times = fields.count("retries", MAX_RETRIES)?;
            return Ok(policy(RetryPolicy::default().with_retries(times)));
        }
    };
    given.only_in("retries", &KEYS)?;
    let Some(times) = given.get("times") else {
        return Err(format!(
            "\"retries\" of {of} needs times: how often it is tried again, at most"
        ));
    };
    let Some(times) = whole(times, MAX_RETRIES) else {
        return Err(format!(
            "\"retries.times\" of {of} takes a whole number from 0 to {MAX_RETRIES}"
        ));
    };
    let usual = RetryPolicy::default();
    let first_pause = pause(&given)?.unwrap_or(usual.first_pause);
    Ok(policy(RetryPolicy {
        retries: times,
        causes: causes(&given)?,
        first_pause,
        longest_pause: usual.longest_pause.max(first_pause),
    }))
}

/// None where nothing is tried again: what is the same is written in one way only.
fn policy(policy: RetryPolicy) -> Option<Box<RetryPolicy>> {
    (policy.retries > 0).then(|| Box::new(policy))
}

fn pause(given: &Fields<'_>) -> Result<Option<Duration>, String> {
    let time = match given.get("pause") {
        None => return Ok(None),
        Some(Value::Number(n)) => quantity::duration(&n.to_string()),
        Some(Value::String(text)) => quantity::duration(text),
        Some(_) => None,
    };
    match time.filter(|time| *time <= MAX_PAUSE) {
        Some(time) => Ok(Some(time)),
        None => Err(format!(
            "\"retries.pause\" of {} takes seconds, or a time as \"200ms\" or \"5s\", up to {} minutes",
            given.of,
            MAX_PAUSE.as_secs() / 60
        )),
    }
}

fn causes(given: &Fields<'_>) -> Result<RetryCauses, String> {
    let of = given.of;
    let items = match given.get("on") {
        None => return Ok(RetryCauses::all()),
        Some(Value::Array(items)) => items,
        Some(other) => {
            let wanted = "a list of exit codes, signals, \"code\", \"signal\" and \"timeout\"";
            return given.wrong("retries.on", wanted, other);
        }
    };
    if items.is_empty() {
        return Err(format!(
            "\"retries.on\" of {of} is empty, so nothing is tried again; leave it out for every failure"
        ));
    }
    let mut causes = RetryCauses::default();
    for (at, item) in items.iter().enumerate() {
        let place = format!("\"retries.on[{at}]\" of {of}");
        match item {
            Value::Number(number) => match whole(item, MAX_CODE).filter(|code| *code > 0) {
                Some(code) => causes.codes.extend(i32::try_from(code)),
                None => {
                    return Err(format!(
                        "{place} takes an exit code from 1 to {MAX_CODE}, not {number}"
                    ));
                }
            },
            Value::String(name) => match (name.as_str(), signal_number(name)) {
                ("code", _) => causes.any_code = true,
                ("signal", _) => causes.any_signal = true,
                ("timeout", _) => causes.timeout = true,
                (_, Some(signal)) => causes.signals.push(signal),
                (_, None) => {
                    let known = KINDS.into_iter().chain(SIGNALS);
                    let hint = match nearest(name, known) {
                        Some(near) => format!("; did you mean \"{near}\"?"),
                        None => String::new(),
                    };
                    return Err(format!(
                        "{place} takes an exit code, a signal as \"SIGSEGV\", \"code\", \"signal\" or \"timeout\", not \"{name}\"{hint}"
                    ));
                }
            },
            other => {
                return Err(format!(
                    "{place} takes an exit code, a signal as \"SIGSEGV\", \"code\", \"signal\" or \"timeout\", not {}",
                    other.kind()
                ));
            }
        }
    }
    Ok(causes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(retries: serde_json::Value) -> Result<Option<Box<RetryPolicy>>, String> {
        let value = Value::from_json(json!({ "retries": retries })).expect("a value");
        let fields = value.as_object().expect("an object");
        parse(&Fields { of: "task", fields })
    }

    #[test]
    fn what_is_left_out_is_as_for_a_number() {
        assert_eq!(parsed(json!(3)), parsed(json!({ "times": 3 })));
        assert_eq!(parsed(json!(0)), Ok(None));
        assert_eq!(parsed(json!({ "times": 0, "on": [1] })), Ok(None));
    }

    #[test]
    fn causes_and_pauses_are_taken() {
        let given = json!({ "times": 2, "on": [75, "SIGSEGV", "timeout"], "pause": "30s" });
        let policy = parsed(given).expect("good").expect("some");
        let causes = RetryCauses {
            codes: vec![75],
            signals: vec![11],
            timeout: true,
            ..RetryCauses::default()
        };
        let pause = Duration::from_secs(30);
        assert_eq!((&policy.causes, policy.retries), (&causes, 2));
        assert_eq!((policy.first_pause, policy.longest_pause), (pause, pause));
        let any = parsed(json!({ "times": 1, "on": ["code", "signal"], "pause": 0.2 }));
        let any = any.expect("good").expect("some");
        assert!(any.causes.any_code && any.causes.any_signal && !any.causes.timeout);
        assert_eq!(any.first_pause, Duration::from_millis(200));
    }
}
