//! Scripts under a debugger, which speaks the real Chrome DevTools Protocol, and under the profiler.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value as Json, json};
use sourcemap::{DecodedMap, SourceMap};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};
use zako_tests::{Workspace, zako};

/// How long an answer may take: far longer than any should.
const DEADLINE: Duration = Duration::from_secs(60);

/// `zako inspect`, running.
struct Inspected {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Inspected {
    fn start(workspace: &Workspace, target: &str) -> Inspected {
        let mut command = workspace.program(zako());
        command.arg("--cache-dir").arg(workspace.cache());
        command.args(["--color", "never", "inspect", "--port", "0", target]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Inspected { child, said }
    }

    /// The next evaluation that waits: what it is called, and where a debugger connects.
    fn waiting(&mut self) -> (String, String) {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.said.read_line(&mut line).unwrap();
            assert!(read > 0, "nothing waits for a debugger:\n{all}");
            if let Some((title, at)) = line.trim().split_once(" waits for a debugger at ") {
                return (title.to_owned(), at.to_owned());
            }
            all.push_str(&line);
        }
    }

    /// The exit code, and what else was said.
    fn ends(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

/// A debugger, as Chrome's or VS Code's.
struct Client {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    asked: u64,
    /// Events that came while an answer was waited for.
    events: Vec<Json>,
}

impl Client {
    fn connect(at: &str) -> Client {
        let (socket, _) = tungstenite::connect(at).unwrap();
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
        }
        Client {
            socket,
            asked: 0,
            events: Vec::new(),
        }
    }

    fn next(&mut self) -> Json {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    #[track_caller]
    fn ask(&mut self, method: &str, params: Json) -> Json {
        self.asked += 1;
        let id = self.asked;
        let text = json!({ "id": id, "method": method, "params": params }).to_string();
        self.socket.send(Message::text(text)).unwrap();
        loop {
            let mut message = self.next();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// The parameters of the next event of that name.
    fn event(&mut self, method: &str) -> Json {
        if let Some(at) = self
            .events
            .iter()
            .position(|event| event["method"] == method)
        {
            return self.events.remove(at)["params"].take();
        }
        loop {
            let mut message = self.next();
            if message["method"] == method {
                return message["params"].take();
            }
            self.events.push(message);
        }
    }

    /// The script whose URL ends so, with its source map.
    fn script(&mut self, end: &str) -> (Json, SourceMap) {
        loop {
            let script = self.event("Debugger.scriptParsed");
            if !script["url"].as_str().unwrap().ends_with(end) {
                continue;
            }
            let url = script["sourceMapURL"].as_str().unwrap();
            let DecodedMap::Regular(map) = sourcemap::decode_data_url(url).unwrap() else {
                panic!("{url} is no plain source map");
            };
            return (script, map);
        }
    }

    /// Lets the script go on, and gives the top frame of where it stops next.
    fn go(&mut self, method: &str) -> Json {
        self.ask(method, json!({}));
        self.event("Debugger.paused")["callFrames"][0].clone()
    }

    fn evaluate(&mut self, frame: &Json, expression: &str) -> Json {
        let params = json!({ "callFrameId": frame["callFrameId"], "expression": expression, "returnByValue": true });
        self.ask("Debugger.evaluateOnCallFrame", params)["result"]["value"].clone()
    }
}

/// The place in JavaScript of the line `line` (from 0) of the source, as debuggers look it up.
fn generated(map: &SourceMap, line: u32) -> (u32, u32) {
    let token = map.tokens().find(|token| token.get_src_line() == line);
    token.map(|token| token.get_dst()).unwrap()
}

/// The line of the source (from 0) in which a frame stands.
fn source_line(map: &SourceMap, frame: &Json) -> u32 {
    let number = |name: &str| u32::try_from(frame["location"][name].as_u64().unwrap()).unwrap();
    let token = map.lookup_token(number("lineNumber"), number("columnNumber"));
    token.unwrap().get_src_line()
}

fn get(address: &str, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const BUILD: &str = "\
import { task } from \"zako:build\";

interface Options {
  most: number;
}
function twice(n: number, o: Options): number {
  const doubled: number = n * 2;
  return Math.min(doubled, o.most);
}
const size = twice(21, { most: 100 });
console.warn(`size is ${size}`);
export const a = task({ outputs: [\"a\"], shell: \"echo hi > a\" });
";

#[test]
fn a_breakpoint_in_a_ts_file_is_hit_stepped_from_and_evaluated_at() {
    let workspace = Workspace::package(BUILD);
    let mut inspected = Inspected::start(&workspace, ":a");
    let (title, at) = inspected.waiting();
    assert_eq!(title, "evaluation of BUILD.ts");

    let address = at.trim_start_matches("ws://").split('/').next().unwrap();
    let list = get(address, "/json/list", address);
    assert!(
        list.contains(&at) && list.contains("\"url\": \"workspace:///BUILD.ts\""),
        "{list}"
    );
    assert!(get(address, "/json/version", "localhost").contains("\"Protocol-Version\": \"1.3\""));
    assert!(get(address, "/json/list", "evil.example").starts_with("HTTP/1.1 403"));
    assert!(get(address, "/other", address).starts_with("HTTP/1.1 404"));
    assert!(tungstenite::connect(format!("ws://{address}/guessed")).is_err());

    let mut client = Client::connect(&at);
    client.ask("Runtime.enable", json!({}));
    client.ask("Debugger.enable", json!({}));
    let (script, map) = client.script("/BUILD.ts");
    assert_eq!(map.get_source_contents(0), Some(BUILD));
    let (line, column) = generated(&map, 6);
    let set = client.ask(
        "Debugger.setBreakpointByUrl",
        json!({ "url": script["url"], "lineNumber": line, "columnNumber": column }),
    );
    assert_eq!(set["locations"].as_array().unwrap().len(), 1, "{set}");

    let first = client.go("Runtime.runIfWaitingForDebugger");
    assert_eq!(
        source_line(&map, &first),
        9,
        "the first line that does something"
    );
    let hit = client.go("Debugger.resume");
    assert_eq!(
        (hit["functionName"].as_str(), source_line(&map, &hit)),
        (Some("twice"), 6)
    );
    assert_eq!(client.evaluate(&hit, "n * 100 + o.most"), json!(2200));
    let next = client.go("Debugger.stepOver");
    assert_eq!(source_line(&map, &next), 7);
    assert_eq!(client.evaluate(&next, "doubled"), json!(42));
    // What a debugger does is done: the person is the author.
    client.evaluate(&next, "o.most = 7");
    let out = client.go("Debugger.stepOut");
    assert_eq!(
        source_line(&map, &out),
        10,
        "the next statement of the caller"
    );
    client.ask("Debugger.resume", json!({}));

    let (code, said) = inspected.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("size is 7") && said.contains("BUILD.ts:11:"),
        "{said}"
    );
    assert!(!workspace.has("zako-out"), "nothing is built");
}

const RULE: &str = "\
import { attr, rule } from \"zako:rule\";
export const echo = rule({
  attrs: { text: attr.string() },
  provides: {},
  analyze(ctx) {
    const out = ctx.file(`${ctx.name}.txt`);
    ctx.write(out, ctx.attrs.text);
    ctx.expose(\"default\", out);
    return {};
  },
});
";

#[test]
fn the_analysis_of_a_rule_is_debugged_after_the_package() {
    let workspace = Workspace::empty().file("echo.rule.ts", RULE).file(
        "p/BUILD.ts",
        "import { echo } from \"//echo.rule.ts\";\nexport const a = echo({ text: \"hi\" });\n",
    );
    // What is kept of an earlier build is no reason not to run.
    workspace.zako("build //p:a").exits(0);
    let mut inspected = Inspected::start(&workspace, "//p:a");
    let (title, at) = inspected.waiting();
    assert_eq!(title, "evaluation of p/BUILD.ts");
    let mut client = Client::connect(&at);
    client.ask("Debugger.enable", json!({}));
    client.go("Runtime.runIfWaitingForDebugger");
    client.ask("Debugger.resume", json!({}));

    let (title, at) = inspected.waiting();
    assert_eq!(title, "analysis by echo.rule.ts");
    let mut client = Client::connect(&at);
    client.ask("Debugger.enable", json!({}));
    let (script, map) = client.script("/echo.rule.ts");
    let (line, column) = generated(&map, 6);
    client.ask(
        "Debugger.setBreakpointByUrl",
        json!({ "url": script["url"], "lineNumber": line, "columnNumber": column }),
    );
    client.go("Runtime.runIfWaitingForDebugger");
    let hit = client.go("Debugger.resume");
    assert_eq!(source_line(&map, &hit), 6);
    assert_eq!(
        client.evaluate(&hit, "ctx.attrs.text + ctx.label"),
        json!("hi//p:a")
    );
    client.ask("Debugger.resume", json!({}));
    let (code, said) = inspected.ends();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_a_script_throws_is_told_as_ever() {
    let workspace = Workspace::package("const n: number = 1;\nthrow new RangeError(`no ${n}`);\n");
    let mut inspected = Inspected::start(&workspace, "//:x");
    let mut client = Client::connect(&inspected.waiting().1);
    client.ask("Debugger.enable", json!({}));
    client.go("Runtime.runIfWaitingForDebugger");
    client.ask("Debugger.resume", json!({}));
    let (code, said) = inspected.ends();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("RangeError: no 1") && said.contains("BUILD.ts:2:"),
        "{said}"
    );
}

#[test]
fn an_interruption_ends_it_while_it_waits() {
    let workspace = Workspace::package(BUILD);
    let mut inspected = Inspected::start(&workspace, ":a");
    inspected.waiting();
    let pid = Pid::from_raw(i32::try_from(inspected.child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(inspected.ends().0, Some(130));
}

#[test]
fn a_pattern_of_many_is_refused() {
    let workspace = Workspace::package(BUILD);
    for pattern in ["...", "-//:a"] {
        let outcome = workspace.zako_args(&["inspect", "--port", "0", "--", pattern]);
        outcome
            .exits(2)
            .says(&["is not one target", "//app:server"]);
    }
}

#[test]
fn a_profile_has_the_functions_of_the_sources() {
    let slow = "\
// A comment, so that lines differ from those of the JavaScript.
interface Unused {
  n: number;
}
export function slow(rounds: number): number {
  let sum = 0;
  for (let n = 0; n < rounds; n++) sum = (sum * 31 + `${n}`.length) | 0;
  return sum;
}
";
    let workspace = Workspace::empty().file("slow.ts", slow).file(
        "BUILD.ts",
        "import { slow } from \"./slow.ts\";\nexport const sum = slow(3_000_000);\n",
    );
    workspace
        .zako("build --script-profile out.cpuprofile")
        .exits(0);
    let profile: Json = serde_json::from_str(&workspace.read("out.cpuprofile")).unwrap();
    let nodes = profile["nodes"].as_array().unwrap();
    let node = nodes
        .iter()
        .find(|node| node["callFrame"]["functionName"] == "slow")
        .unwrap();
    assert_eq!(
        (&node["callFrame"]["url"], &node["callFrame"]["lineNumber"]),
        (&json!("slow.ts"), &json!(4))
    );
    let ticks = node["positionTicks"].as_array().unwrap();
    assert!(ticks.iter().any(|tick| tick["line"] == 7), "{ticks:?}");
    let (samples, deltas) = (&profile["samples"], &profile["timeDeltas"]);
    assert_eq!(
        samples.as_array().unwrap().len(),
        deltas.as_array().unwrap().len()
    );
    // Every sample and child is a node, and every node but the root is somebody's child.
    let ids: Vec<&Json> = nodes.iter().map(|node| &node["id"]).collect();
    assert!(
        samples
            .as_array()
            .unwrap()
            .iter()
            .all(|sample| ids.contains(&sample))
    );
    let children: Vec<&Json> = nodes
        .iter()
        .flat_map(|node| node["children"].as_array().into_iter().flatten())
        .collect();
    assert!(ids[1..].iter().all(|id| children.contains(id)));
    assert!(
        nodes
            .iter()
            .any(|node| node["callFrame"]["functionName"] == "evaluate BUILD.ts")
    );
}
