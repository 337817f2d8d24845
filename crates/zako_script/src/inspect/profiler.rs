//! A CPU profile of scripts, in the form that Chrome's and VS Code's tools read (`.cpuprofile`), with places in what was
//! written rather than in what runs.
//!
//! Each realm is sampled by V8 from before its first statement to its end. Profiles of several realms are put one after
//! another under one root, each under a node with its title, in the order of their beginnings: what ran at once on
//! several threads is added up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use deno_core::{InspectorSessionKind, JsRuntime, JsRuntimeInspector, LocalInspectorSession};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::error::Place;
use crate::realm::Places;
use crate::realm::ops::JsPlace;

/// How often V8 looks, in microseconds.
const INTERVAL_US: u32 = 200;

/// Collects the profiles of all evaluations of an engine.
#[derive(Default)]
pub struct Profiler(Mutex<Vec<Recorded>>);

/// One realm's profile, as V8 gave it but for places.
struct Recorded {
    title: String,
    profile: Json,
}

impl Profiler {
    /// What was collected, as the text of a `.cpuprofile` file, which begins anew with the next.
    pub fn take(&self) -> String {
        let mut recorded = std::mem::take(&mut *self.0.lock());
        recorded.sort_by_key(|one| one.profile["startTime"].as_u64().unwrap_or(0));
        merge(&recorded).to_string()
    }

    fn add(&self, title: String, profile: Json) {
        self.0.lock().push(Recorded { title, profile });
    }
}

/// A realm that is being profiled, on its thread.
pub(crate) struct Sampling {
    session: LocalInspectorSession,
    answers: Rc<RefCell<Vec<String>>>,
}

impl Sampling {
    /// Begins to sample a realm that was made with an inspector.
    pub(crate) fn begin(runtime: &JsRuntime) -> Sampling {
        let answers = Rc::new(RefCell::new(Vec::new()));
        let sink = answers.clone();
        let session = JsRuntimeInspector::create_local_session(
            runtime.inspector(),
            Box::new(move |message| sink.borrow_mut().push(message.content)),
            InspectorSessionKind::NonBlocking {
                wait_for_disconnect: false,
            },
        );
        let mut sampling = Sampling { session, answers };
        sampling.ask("Profiler.enable", Json::Null);
        sampling.ask(
            "Profiler.setSamplingInterval",
            json!({ "interval": INTERVAL_US }),
        );
        sampling.ask("Profiler.start", Json::Null);
        sampling
    }

    /// Ends it, and gives what was seen to `profiler`.
    pub(crate) fn end(mut self, title: String, places: &Places, profiler: &Profiler) {
        self.answers.borrow_mut().clear();
        self.ask("Profiler.stop", Json::Null);
        let answers = self.answers.borrow();
        let parsed = answers
            .iter()
            .filter_map(|text| serde_json::from_str::<Json>(text).ok());
        let mut profiles =
            parsed.filter_map(|mut answer| match answer["result"]["profile"].take() {
                Json::Null => None,
                profile => Some(profile),
            });
        if let Some(mut profile) = profiles.next() {
            locate(&mut profile, places);
            profiler.add(title, profile);
        }
    }

    fn ask(&mut self, method: &str, params: Json) {
        let params = (!params.is_null()).then_some(params);
        // Answers come before it returns; which is whose is told by what is in them.
        self.session.post_message(1, method, params);
    }
}

/// Turns the places of a profile into those of the sources.
fn locate(profile: &mut Json, places: &Places) {
    let number = |value: &Json| value.as_u64().and_then(|n| u32::try_from(n).ok());
    for node in profile["nodes"].as_array_mut().into_iter().flatten() {
        let url = node["callFrame"]["url"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if url.is_empty() {
            continue;
        }
        // V8 counts the lines of functions from 0 and those of ticks from 1; a tick has no column.
        let original = |line: u32, column: u32| -> Place {
            places.original(&JsPlace {
                url: url.clone(),
                line,
                column,
            })
        };
        if let (Some(line), Some(column)) = (
            number(&node["callFrame"]["lineNumber"]),
            number(&node["callFrame"]["columnNumber"]),
        ) {
            let place = original(line + 1, column + 1);
            node["callFrame"]["url"] = place.file.into();
            node["callFrame"]["lineNumber"] = place.line.saturating_sub(1).into();
            node["callFrame"]["columnNumber"] = place.column.saturating_sub(1).into();
        }
        let mut ticks: Vec<(u32, u64)> = Vec::new();
        for tick in node["positionTicks"].as_array().into_iter().flatten() {
            let Some(line) = number(&tick["line"]) else {
                continue;
            };
            let line = original(line, u32::MAX).line;
            let count = tick["ticks"].as_u64().unwrap_or(0);
            match ticks.iter_mut().find(|(known, _)| *known == line) {
                Some((_, sum)) => *sum += count,
                None => ticks.push((line, count)),
            }
        }
        if !ticks.is_empty() {
            ticks.sort_unstable();
            let ticks = ticks
                .iter()
                .map(|(line, ticks)| json!({ "line": line, "ticks": ticks }));
            node["positionTicks"] = ticks.collect();
        }
    }
}

/// One profile of several.
fn merge(recorded: &[Recorded]) -> Json {
    let frame = |name: &str| json!({ "functionName": name, "scriptId": "0", "url": "", "lineNumber": -1, "columnNumber": -1 });
    let mut nodes =
        vec![json!({ "id": 1, "callFrame": frame("(root)"), "hitCount": 0, "children": [] })];
    let (mut samples, mut deltas) = (Vec::new(), Vec::new());
    let mut tops = Vec::new();
    let start = recorded
        .first()
        .and_then(|one| one.profile["startTime"].as_u64());
    let start = start.unwrap_or(0);
    let mut end = start;
    let mut next = 2_u64;
    for Recorded { title, profile } in recorded {
        let mut renamed: HashMap<u64, u64> = HashMap::new();
        let given = profile["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        for node in given {
            renamed.insert(node["id"].as_u64().unwrap_or(0), next);
            next += 1;
        }
        let name = |id: &Json| id.as_u64().and_then(|id| renamed.get(&id)).copied();
        for (at, node) in given.iter().enumerate() {
            let mut node = node.clone();
            node["id"] = name(&node["id"]).into();
            if let Some(children) = node["children"].as_array_mut() {
                for child in children {
                    *child = name(child).into();
                }
            }
            if at == 0 {
                // V8's own root of this realm.
                node["callFrame"] = frame(title);
                tops.push(node["id"].clone());
            }
            nodes.push(node);
        }
        let times = profile["timeDeltas"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for (sample, delta) in profile["samples"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(times)
        {
            samples.push(Json::from(name(sample)));
            // V8 may look twice in the wrong order.
            let delta = delta.as_i64().unwrap_or(0).max(0).unsigned_abs();
            deltas.push(Json::from(delta));
            end += delta;
        }
    }
    nodes[0]["children"] = Json::Array(tops);
    json!({ "nodes": nodes, "startTime": start, "endTime": end, "samples": samples, "timeDeltas": deltas })
}
