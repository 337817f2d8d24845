use std::sync::Arc;

use insta::assert_snapshot;

use super::*;

const SOURCE: &str = "import { ccBinary } from \"zako:cc\";\n\nconst names = [\"größe\", oops()];\nexport const app = ccBinary({ srcs: names });\n";

fn place(line: u32, column: u32, length: u32, source: Option<&str>) -> Location {
    Location {
        file: "app/BUILD.ts".to_owned(),
        line,
        column,
        length,
        source: source.map(Arc::from),
    }
}

fn plain(diagnostic: &Diagnostic) -> String {
    Renderer::new(false, false, 100).render(diagnostic)
}

fn thrown() -> Diagnostic {
    Diagnostic::user("ReferenceError: oops is not defined")
        .at(place(3, 25, 4, Some(SOURCE)))
        .with_trace("at names (app/BUILD.ts:3:25)")
        .with_trace("in //app")
        .with_help("declare `oops`, or import it")
}

#[test]
fn a_script_that_throws() {
    assert_snapshot!(plain(&thrown()), @r#"
error: ReferenceError: oops is not defined
   ,-[app/BUILD.ts:3:25]
 2 |
 3 | const names = ["größe", oops()];
   :                         ^^^^
 4 | export const app = ccBinary({ srcs: names });
   `----
  at names (app/BUILD.ts:3:25)
  in //app
  help: declare `oops`, or import it
"#);
}

#[test]
fn a_script_that_throws_drawn_for_a_terminal() {
    assert_snapshot!(Renderer::new(false, true, 100).render(&thrown()), @r#"
error: ReferenceError: oops is not defined
   ╭─[app/BUILD.ts:3:25]
 2 │
 3 │ const names = ["größe", oops()];
   ·                         ────
 4 │ export const app = ccBinary({ srcs: names });
   ╰────
  at names (app/BUILD.ts:3:25)
  in //app
  help: declare `oops`, or import it
"#);
}

#[test]
fn a_script_that_throws_in_colour() {
    assert_snapshot!(Renderer::new(true, true, 100).render(&thrown()).replace('\u{1b}', "^"), @r#"
^[31merror:^[0m ReferenceError: oops is not defined
   ╭─[^[36;1;4mapp/BUILD.ts:3:25^[0m]
 ^[2m2^[0m │
 ^[2m3^[0m │ const names = ["größe", oops()];
   · ^[35;1m                        ────^[0m
 ^[2m4^[0m │ export const app = ccBinary({ srcs: names });
   ╰────
  at names (app/BUILD.ts:3:25)
  in //app
  ^[36mhelp:^[0m declare `oops`, or import it
"#);
}

#[test]
fn a_syntax_error_at_a_point() {
    let source = "export const a = task({\n\tcommand: [\"x\",\n";
    let error = Diagnostic::user("expected `]` but found the end of the file").at(place(
        2,
        16,
        0,
        Some(source),
    ));
    assert_snapshot!(plain(&error), @r#"
error: expected `]` but found the end of the file
   ,-[app/BUILD.ts:2:16]
 1 | export const a = task({
 2 |     command: ["x",
   :                   ^
   `----
"#);
}

#[test]
fn a_failing_compiler() {
    let mut error = Diagnostic::error(Fault::Build, "compile app/main.c failed: exit code 1")
        .with_trace("in //app:server (app/BUILD.ts:4:20)");
    error.output = Some("app/main.c: In function ‘main’:\napp/main.c:3:5: error: unknown type name ‘x’\n\n    3 |     x y;\n".to_owned());
    assert_snapshot!(plain(&error), @"
error: compile app/main.c failed: exit code 1
app/main.c: In function ‘main’:
app/main.c:3:5: error: unknown type name ‘x’

    3 |     x y;
  in //app:server (app/BUILD.ts:4:20)
");
}

#[test]
fn an_error_in_the_manifest() {
    let source = "[workspace]\nname = \"demo\"\n\n[confg]\nfast = \"yes\"\n";
    let location = Location {
        file: "zako.toml".to_owned(),
        ..place(4, 2, 5, Some(source))
    };
    let error = Diagnostic::user("unknown table `confg`")
        .at(location)
        .with_help("did you mean `config`?");
    assert_snapshot!(plain(&error), @r#"
error: unknown table `confg`
   ,-[zako.toml:4:2]
 3 |
 4 | [confg]
   :  ^^^^^
 5 | fast = "yes"
   `----
  help: did you mean `config`?
"#);
}

#[test]
fn a_cycle_with_its_chain() {
    let error = Diagnostic::user("packages import one another in a circle: //a → //b → //a")
        .at(place(1, 26, 9, Some(SOURCE)))
        .with_trace("//a imports //b at a/BUILD.ts:1:20")
        .with_trace("//b imports //a at b/BUILD.ts:2:20")
        .with_help("move what both need into a third package,\nor name the target with `target(\"//b:lib\")`");
    assert_snapshot!(plain(&error), @r#"
error: packages import one another in a circle: //a → //b → //a
   ,-[app/BUILD.ts:1:26]
 1 | import { ccBinary } from "zako:cc";
   :                          ^^^^^^^^^
 2 |
   `----
  //a imports //b at a/BUILD.ts:1:20
  //b imports //a at b/BUILD.ts:2:20
  help: move what both need into a third package,
        or name the target with `target("//b:lib")`
"#);
}

#[test]
fn an_error_without_a_place() {
    let error = Diagnostic::environment("cannot write to the store: No space left on device")
        .with_help("free some space, or use another folder with --cache-dir");
    assert_snapshot!(plain(&error), @"
error: cannot write to the store: No space left on device
  help: free some space, or use another folder with --cache-dir
");
}

#[test]
fn a_place_without_its_text() {
    let mut warning = Diagnostic::user("the glob `*.c` matches nothing").at(place(7, 3, 4, None));
    warning.severity = Severity::Warning;
    assert_snapshot!(plain(&warning), @"
warning: the glob `*.c` matches nothing
  at app/BUILD.ts:7:3
");
}

#[test]
fn a_place_that_the_text_no_longer_has_gets_no_frame() {
    for location in [
        place(40, 1, 1, Some(SOURCE)),
        place(3, 400, 1, Some(SOURCE)),
        place(1, 0, 1, Some(SOURCE)),
    ] {
        let expected = format!("error: gone\n  at {location}\n");
        assert_eq!(plain(&Diagnostic::user("gone").at(location)), expected);
    }
}

#[test]
fn an_endless_line_gets_no_frame() {
    let source = "x".repeat(MAX_FRAME_LINE + 1);
    let text = plain(&Diagnostic::user("odd").at(place(1, 5, 1, Some(&source))));
    assert_eq!(text, "error: odd\n  at app/BUILD.ts:1:5\n");
}

#[test]
fn a_span_ends_with_its_line() {
    let text = plain(&Diagnostic::user("odd").at(place(1, 1, 9, Some("ab\r\ncd\r\n"))));
    assert!(text.contains("[app/BUILD.ts:1:1]"), "{text}");
    assert!(text.contains("^^") && !text.contains("^^^"), "{text}");
}

#[test]
fn a_bug_says_that_it_is_one() {
    let text = plain(&Diagnostic::error(Fault::Bug, "the plan has a hole"));
    assert!(text.contains("help: this is a bug in zako"), "{text}");
}
