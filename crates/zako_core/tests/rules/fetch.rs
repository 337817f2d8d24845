//! `fetch`, against a server on this machine that counts what it is asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use sha2::Digest as _;
use zako_core::{BuildEvent, BuildOptions, Fault};

use crate::fixture::{Built, Fixture, run, told};

type Pages = BTreeMap<String, Vec<u8>>;

/// Serves pages by their paths; `/to/X` redirects to `/X`, `/silent` never answers.
pub(crate) struct Server {
    address: String,
    pages: Arc<Mutex<Pages>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn new(pages: &[(&str, &[u8])]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let pages = pages
            .iter()
            .map(|(path, page)| ((*path).to_owned(), page.to_vec()))
            .collect();
        let server = Server {
            address,
            pages: Arc::new(Mutex::new(pages)),
            asked: Arc::default(),
        };
        let (pages, asked) = (server.pages.clone(), server.asked.clone());
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if let Some(stream) = answer(stream, &pages, &asked) {
                    silent.push(stream);
                }
            }
        });
        server
    }

    fn serve(&self, path: &str, page: &[u8]) {
        self.pages
            .lock()
            .unwrap()
            .insert(path.to_owned(), page.to_vec());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The paths that it was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The connection, when it is left open.
fn answer(
    mut stream: TcpStream,
    pages: &Mutex<Pages>,
    asked: &Mutex<Vec<String>>,
) -> Option<TcpStream> {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next()?.unwrap();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let path = request.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(path.clone());
    if path == "/silent" {
        return Some(stream);
    }
    let page = pages.lock().unwrap().get(&path).cloned();
    let (status, more, body) = match (path.strip_prefix("/to"), page) {
        (Some(to), _) => ("302 Found", format!("Location: {to}\r\n"), Vec::new()),
        (_, Some(page)) => ("200 OK", String::new(), page),
        _ => ("404 Not Found", String::new(), b"no".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    None
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = sha2::Sha256::digest(bytes);
    let text = base64::engine::general_purpose::STANDARD.encode(digest);
    format!("sha256-{text}")
}

fn fixture(exports: &str) -> Fixture {
    Fixture::new(&[("p/BUILD.ts", &build_file(exports))])
}

fn build_file(exports: &str) -> String {
    format!("import {{ fetch, task }} from \"zako:build\";\n{exports}\n")
}

fn offline() -> BuildOptions {
    BuildOptions {
        offline: true,
        ..BuildOptions::default()
    }
}

fn locked() -> BuildOptions {
    BuildOptions {
        locked: true,
        ..BuildOptions::default()
    }
}

/// Removes all that zako wrote into the workspace, as `zako clean` does; the store is left.
fn clean(f: &Fixture) {
    for folder in ["zako-out", ".zako"] {
        std::fs::remove_dir_all(f.root().join(folder)).unwrap();
    }
}

fn counts(built: &Built) -> (usize, usize) {
    (built.report.actions.run, built.report.actions.failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_fetched_once() {
    let server = Server::new(&[("/dir/tool.sh", b"#!/bin/sh\necho tool\n")]);
    let integrity = sha256(b"#!/bin/sh\necho tool\n");
    let exports = |path: &str| {
        format!(
            "const tool = fetch({{ url: \"{}\", integrity: \"{integrity}\", executable: true }});\nexport const out = task({{ outputs: [\"o\"], command: (a) => [\"sh\", \"-c\", '\"$1\" > \"$2\"', \"sh\", tool, a.out.o] }});",
            server.url(path)
        )
    };
    // Redirects are followed.
    let f = fixture(&exports("/to/dir/tool.sh"));
    f.build(&[]).await.good();
    assert_eq!(server.asked(), ["/to/dir/tool.sh", "/dir/tool.sh"]);
    assert_eq!(f.read("zako-out/p/o"), "tool\n");
    f.check(&[]).await;
    // Neither a clean workspace nor another address asks again: the content is known.
    clean(&f);
    let again = run(&f.reopened(), &[], BuildOptions::default())
        .await
        .good();
    assert_eq!(counts(&again), (0, 0), "all is from the cache");
    f.write("p/BUILD.ts", &build_file(&exports("/elsewhere/tool.sh")));
    f.build_with(&[], offline()).await.good();
    assert_eq!(server.asked(), [""; 0]);
    assert!(!f.has("zako.lock"));
    // Nor does another workspace of the same user.
    let other = Fixture::with(
        &[("p/BUILD.ts", &build_file(&exports("/to/dir/tool.sh")))],
        |options| options.cache_dir = f.temp().join("cache"),
    );
    let built = other.build_with(&[], offline()).await.good();
    // Where both had a sandbox its results are known too; elsewhere they belong to one workspace.
    assert!(matches!(counts(&built), (0 | 2, 0)), "{built:?}");
    assert_eq!(other.read("zako-out/p/o"), "tool\n");
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_is_refused() {
    let server = Server::new(&[("/a", b"evil")]);
    let url = server.url("/a");
    let f = fixture(&format!(
        "export const a = fetch({{ url: \"{url}\", integrity: \"{}\" }});",
        sha256(b"good")
    ));
    let built = f.build(&[]).await;
    let error = built.error();
    assert_eq!(error.fault, Fault::Build);
    let text = told(error);
    for part in [
        "p/BUILD.ts:2:",
        &format!("expected {}, found {}", sha256(b"good"), sha256(b"evil")),
        "in //p:a",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!f.has("zako-out/p/a"));
    // Nothing of it is kept: what is right is asked for, and had.
    server.serve("/a", b"good");
    f.build(&[]).await.good();
    assert_eq!(server.asked(), ["/a", "/a"]);
    assert_eq!(f.read("zako-out/p/a"), "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_build_pins() {
    let server = Server::new(&[("/b", b"one"), ("/a", b"two")]);
    let (a, b) = (server.url("/a"), server.url("/b"));
    let f = fixture(&format!(
        "export const b = fetch({{ url: \"{b}\" }});\nexport const a = fetch({{ url: \"{a}\", name: \"dir/named\" }});"
    ));
    let refused = f.build_with(&["//p:b"], locked()).await;
    assert_eq!(refused.error().fault, Fault::User);
    assert!(told(refused.error()).contains("--locked"));
    let refused = f.build_with(&["//p:b"], offline()).await;
    assert_eq!(refused.error().fault, Fault::Environment);
    assert!(told(refused.error()).contains("--offline"));
    assert_eq!(server.asked(), [""; 0]);

    let built = f.build(&[]).await.good();
    let says = |built: &Built, text: &str| {
        built.events.iter().any(|event| {
            matches!(event, BuildEvent::ActionFinished { output: Some(output), .. } if output.contains(text))
        })
    };
    assert!(says(
        &built,
        &format!("pinned {a} in zako.lock: {}", sha256(b"two"))
    ));
    assert_eq!(f.read("zako-out/p/b"), "one");
    assert_eq!(f.read("zako-out/p/dir/named"), "two");
    let lock = f.read("zako.lock");
    assert!(
        lock.ends_with(&format!(
            "[fetch]\n\"{a}\" = \"{}\"\n\"{b}\" = \"{}\"\n",
            sha256(b"two"),
            sha256(b"one")
        )),
        "{lock}"
    );
    assert_eq!(server.asked().len(), 2);
    // From now on the pins count, and nothing is asked for.
    f.build_with(&[], locked()).await.good();
    f.check(&[]).await;
    assert_eq!(
        (server.asked(), f.read("zako.lock")),
        (Vec::new(), lock.clone())
    );

    // The content changed after it was pinned: whoever does not have it yet is told.
    server.serve("/b", b"changed");
    let other = fixture(&format!("export const b = fetch({{ url: \"{b}\" }});"));
    other.write("zako.lock", &lock);
    let built = other.build(&[]).await;
    let text = told(built.error());
    assert!(
        text.contains(&sha256(b"changed")) && text.contains("zako.lock"),
        "{text}"
    );
    // Without its line it is pinned anew.
    let rest: Vec<&str> = lock.lines().filter(|line| !line.contains("/b\"")).collect();
    other.write("zako.lock", &rest.join("\n"));
    other.build(&[]).await.good();
    assert_eq!(other.read("zako-out/p/b"), "changed");
    assert!(other.read("zako.lock").contains(&sha256(b"changed")));
    // A pin that is gone comes again, though nothing else changed.
    other.build(&[]).await.good();
    other.remove("zako.lock");
    other.build(&[]).await.good();
    assert!(other.has("zako.lock"));
    // Another pin is another content: a null build sees that.
    other.write("zako.lock", &lock);
    assert!(told(other.build(&[]).await.error()).contains("expected"));
    other.write("zako.lock", "nonsense");
    assert!(told(other.build(&[]).await.error()).contains("zako.lock is not as zako writes it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_extracted() {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    tar.append_data(&mut header.clone(), "x-1/src/a.c", &b"int"[..])
        .unwrap();
    let good = tar.into_inner().unwrap().finish().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "x/out", "../../..").unwrap();
    let bad = tar.into_inner().unwrap();
    let server = Server::new(&[
        ("/x-1.tar.gz", &good),
        ("/bad.tar", &bad),
        ("/text.zip", b"text"),
    ]);
    let url = |path: &str| server.url(path);
    let f = fixture(&format!(
        "export const x = fetch({{ url: \"{}\", integrity: \"{}\", extract: {{ strip: 1 }} }});\nexport const uses = task({{ inputs: [x], outputs: [\"o\"], shell: 'cat \"$in\"/src/a.c > \"$out\"' }});\nexport const whole = fetch({{ url: \"{}\", integrity: \"{}\", extract: true, name: \"w\" }});",
        url("/x-1.tar.gz"),
        sha256(&good),
        url("/x-1.tar.gz"),
        sha256(&good),
    ));
    f.build(&["//p:uses"]).await.good();
    assert_eq!(f.read("zako-out/p/x-1/src/a.c"), "int");
    assert_eq!(f.read("zako-out/p/o"), "int");
    // The same archive, extracted another way, is not fetched again.
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/w/x-1/src/a.c"), "int");
    assert_eq!(server.asked(), ["/x-1.tar.gz"]);
    f.check(&[]).await;
    for (path, message) in [
        ("/bad.tar", "leads out of the folder"),
        ("/text.zip", "no archive"),
    ] {
        let exports = build_file(&format!(
            "export const x = fetch({{ url: \"{}\", extract: true }});",
            url(path)
        ));
        f.write("p/BUILD.ts", &exports);
        let built = f.build(&[]).await;
        assert!(told(built.error()).contains(message), "{:?}", built.error());
        assert_eq!(built.error().fault, Fault::Build);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told() {
    let server = Server::new(&[]);
    let f = fixture(&format!(
        "export const a = fetch({{ url: \"{}\" }});",
        server.url("/a")
    ));
    let built = f.build(&[]).await;
    let text = told(built.error());
    assert!(
        text.contains("/a: the server answered 404 Not Found"),
        "{text}"
    );
    assert!(!f.has("zako.lock"));
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let f = fixture(&format!(
        "export const a = fetch({{ url: \"http://{nobody}/a\" }});"
    ));
    let built = f.build(&[]).await;
    assert_eq!(
        built.error().fault,
        Fault::Environment,
        "{}",
        told(built.error())
    );
    for (spec, message) in [
        ("{ url: \"ftp://x/a\" }", "it takes https://"),
        (
            "{ url: \"https://x/a\", integrity: \"md5-AA\" }",
            "is no integrity",
        ),
        ("{ url: \"https://x/\" }", "give fetch a name"),
        (
            "{ url: \"https://x/a\", extract: { strip: -1 } }",
            "strip of fetch",
        ),
    ] {
        let exports = build_file(&format!("export const a = fetch({spec});"));
        f.write("p/BUILD.ts", &exports);
        let built = f.build(&[]).await;
        let text = told(built.error());
        assert!(
            text.contains(message) && text.contains("p/BUILD.ts:2:"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_this_machine_are_fetched() {
    let f = fixture("");
    let place = f.temp().join("there");
    std::fs::write(&place, "text").unwrap();
    let exports = format!(
        "export const a = fetch({{ url: \"file://{}\" }});",
        place.display()
    );
    f.write("p/BUILD.ts", &build_file(&exports));
    f.build_with(&[], offline()).await.good();
    assert_eq!(f.read("zako-out/p/there"), "text");
    std::fs::remove_file(&place).unwrap();
    clean(&f);
    run(&f.reopened(), &[], offline()).await.good();
    assert_eq!(f.read("zako-out/p/there"), "text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_holds_no_build() {
    let server = Server::new(&[]);
    let f = fixture(&format!(
        "export const a = fetch({{ url: \"{}\" }});",
        server.url("/silent")
    ));
    let mut build = f
        .session
        .build(&["//...".to_owned()], BuildOptions::default());
    let cancel = build.cancel_handle();
    while let Some(event) = build.next_event().await {
        if matches!(event, BuildEvent::ActionStarted(_)) {
            cancel.cancel();
        }
    }
    let report = build.report().await;
    assert_eq!(report.actions.cancelled, 1, "{report:?}");
    assert!(!f.has("zako.lock"));
}

/// A `.tar` of files by their paths, as programs.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        archive
            .append_data(&mut header, path, text.as_bytes())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

const SAY_RULE: &str = "import { attr, rule, toolchainType, type, type Artifact } from \"zako:rule\";\nexport const SayToolchain = toolchainType(\"say\", type<{ readonly say: Artifact }>());\nexport const said = rule({\n  attrs: { word: attr.string() },\n  provides: {},\n  toolchains: { say: SayToolchain },\n  analyze(ctx) {\n    const out = ctx.file(ctx.name);\n    ctx.run({ args: [ctx.tools.say.say, ctx.attrs.word, out], outputs: [out], mnemonic: \"say\" });\n    ctx.expose(\"default\", out);\n    return {};\n  },\n});\n";

fn say_toolchain(spec: &str, file: &str) -> String {
    format!(
        "import {{ toolchain }} from \"zako:toolchain\";\nimport {{ SayToolchain }} from \"./say.rule.ts\";\nexport const say = toolchain({{\n  type: SayToolchain,\n  resolve: (host) => ({{ say: host.fetched({spec}).file({file}) }}),\n}});\n"
    )
}

fn with_toolchain(spec: &str, file: &str) -> Fixture {
    Fixture::new(&[
        (
            "zako.toml",
            "zako = \"0.1\"\ntoolchains = [\"//say.toolchain.ts\"]\n",
        ),
        ("say.rule.ts", SAY_RULE),
        ("say.toolchain.ts", &say_toolchain(spec, file)),
        (
            "BUILD.ts",
            "import { said } from \"./say.rule.ts\";\nexport const one = said({ word: \"one\" });\nexport const two = said({ word: \"two\" });\n",
        ),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn toolchains_are_fetched() {
    let program = "#!/bin/sh\n[ \"$1\" = --version ] && echo 'say 1.5' || echo \"$(cat \"${0%/*}/../share/word\") $1\" > \"$2\"\n";
    let archive = tar(&[("say-1/bin/say", program), ("say-1/share/word", "says")]);
    let server = Server::new(&[("/say.tar", &archive)]);
    let spec = format!(
        "{{ url: \"{}\", integrity: \"{}\", strip: 1 }}",
        server.url("/say.tar"),
        sha256(&archive)
    );
    let f = with_toolchain(&spec, "\"bin/say\", { version: \">=1.5\" }");
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/one"), "says one\n");
    assert_eq!(f.read("zako-out/two"), "says two\n");
    assert_eq!(server.asked(), ["/say.tar"]);
    assert_eq!(f.build(&[]).await.good().lines(), [""; 0]);
    // What was fetched once is there without a network: for a workspace that zako knows nothing of, and when only the store has it.
    clean(&f);
    let built = f.build_with(&[], offline()).await.good();
    assert_eq!(counts(&built), (0, 0));
    std::fs::remove_dir_all(f.temp().join("cache/toolchains")).unwrap();
    f.build_with(&[], offline()).await.good();
    assert!(f.temp().join("cache/toolchains").is_dir());
    assert_eq!(server.asked(), [""; 0]);
    // A file that is not in it, and a version that it does not have.
    f.write("say.toolchain.ts", &say_toolchain(&spec, "\"bin/says\""));
    let text = told(f.build(&["//:one"]).await.error());
    assert!(
        text.contains(
            "the toolchain `say` of //say.toolchain.ts: there is no program bin/says in http://"
        ) && text.contains("in //:one"),
        "{text}"
    );
    f.write("say.toolchain.ts", &say_toolchain(&spec, "\"../say\""));
    let text = told(f.build(&["//:one"]).await.error());
    assert!(
        text.contains("say.toolchain.ts:5:")
            && text.contains("file takes the path of a program in"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolchain_is_what_it_says() {
    let program = "#!/bin/sh\necho \"$1\" > \"$2\"\n";
    let server = Server::new(&[("/say", program.as_bytes())]);
    let spec = |integrity: &str| {
        format!(
            "{{ url: \"{}\", {integrity}extract: false }}",
            server.url("/say")
        )
    };
    let f = with_toolchain(&spec(""), "\"say\"");
    let text = told(f.build(&["//:one"]).await.error());
    assert!(
        text.contains("fetched needs the integrity of http://"),
        "{text}"
    );
    assert_eq!(server.asked(), [""; 0]);
    // What is pinned counts, as for `fetch`; and when the pin is another, so is the tool.
    let pin = |content: &[u8]| {
        f.write(
            "zako.lock",
            &format!(
                "version = 1\n\n[fetch]\n\"{}\" = \"{}\"\n",
                server.url("/say"),
                sha256(content)
            ),
        );
    };
    for mark in ["?", "!"] {
        let content = program.replace("$1", &format!("$1{mark}"));
        server.serve("/say", content.as_bytes());
        pin(content.as_bytes());
        f.build_with(&["//:one"], locked()).await.good();
        assert_eq!(f.read("zako-out/one"), format!("one{mark}\n"));
        assert_eq!(f.build(&["//:one"]).await.good().lines(), [""; 0]);
    }
    assert_eq!(server.asked(), ["/say", "/say"]);
    server.serve("/say", program.as_bytes());
    let wrong = format!("integrity: \"{}\", ", sha256(b"something else"));
    f.write("say.toolchain.ts", &say_toolchain(&spec(&wrong), "\"say\""));
    let built = f.build(&["//:one"]).await;
    let text = told(built.error());
    assert!(
        text.contains("is not what it should be") && text.contains(&sha256(program.as_bytes())),
        "{text}"
    );
    assert_eq!(built.error().fault, Fault::Environment);
    // Not kept: a server may be well again, and the next build asks it.
    server.asked();
    f.build(&["//:one"]).await;
    assert_eq!(server.asked(), ["/say"]);
    let right = format!("integrity: \"{}\", ", sha256(program.as_bytes()));
    f.write("say.toolchain.ts", &say_toolchain(&spec(&right), "\"say\""));
    let text = told(f.build_with(&["//:one"], offline()).await.error());
    assert!(
        text.contains("--offline does not use the network"),
        "{text}"
    );
    f.build(&["//:one"]).await.good();
    assert_eq!(f.read("zako-out/one"), "one\n");
}
