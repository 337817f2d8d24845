//! Narrow keys: what a compiler says that it read.

use super::*;

fn compile(source: &str, headers: &[&str]) -> ActionSpec {
    let object = format!("zako-out/{source}.o");
    let depfile = format!("zako-out/{source}.d");
    let argv = [
        "cc",
        "-Iapp",
        "-Iinclude",
        "-MD",
        "-MF",
        &depfile,
        "-c",
        source,
        "-o",
        &object,
    ];
    let body = ActionBody::Command {
        argv: argv.map(str::to_owned).to_vec(),
    };
    let mut spec = ActionSpec::new(format!("//app:{source}"), "compile", body);
    spec.inputs = vec![path(source)];
    spec.staged = headers.iter().map(|header| path(header)).collect();
    spec.outputs = vec![OutputSpec::file(path(&object))];
    spec.depfile = Some(path(&depfile));
    spec
}

const FILES: &[(&str, &str)] = &[
    (
        "app/one.c",
        "#include \"one.h\"\n#include <stdio.h>\nint one(void) { return ONE; }\n",
    ),
    (
        "app/two.c",
        "#include \"two.h\"\nint two(void) { return TWO; }\n",
    ),
    ("include/one.h", "#define ONE 1\n"),
    ("include/two.h", "#define TWO 2\n"),
];
const HEADERS: &[&str] = &["include/one.h", "include/two.h"];

#[tokio::test(flavor = "multi_thread")]
async fn a_header_rebuilds_exactly_what_includes_it() {
    let world = World::new(FILES);
    let actions = [compile("app/one.c", HEADERS), compile("app/two.c", HEADERS)];
    world.check(&actions, &[Ran, Ran]).await;
    world.check(&actions, &[UpToDate, UpToDate]).await;
    world.write("include/one.h", "#define ONE 11\n");
    world.check(&actions, &[Ran, UpToDate]).await;
    world.write("include/two.h", "#define TWO 22\n");
    world.check(&actions, &[UpToDate, Ran]).await;
    world.write("include/one.h", "#define ONE 1\n");
    world.check(&actions, &[FromCache, UpToDate]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_header_runs_again_because_it_may_shadow_another() {
    let world = World::new(FILES);
    world.check(&[compile("app/one.c", HEADERS)], &[Ran]).await;
    world.write("include/unrelated.h", "");
    let more = ["include/one.h", "include/two.h", "include/unrelated.h"];
    world.check(&[compile("app/one.c", &more)], &[Ran]).await;
    // `app` comes before `include` on the command line.
    world.write("app/one.h", "#define ONE shadowed\n");
    let shadowing = ["app/one.h", "include/one.h", "include/two.h"];
    let built = world
        .check(&[compile("app/one.c", &shadowing)], &[Failed])
        .await;
    let error = built.error();
    assert_eq!(error.message, "compile app/one.c failed: exit code 1");
    assert!(
        error.output.as_ref().unwrap().contains("shadowed"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_header_is_an_error_that_says_where_to_add_it() {
    let mut world = World::new(FILES);
    world.isolation = Some(Isolation::None);
    let built = world.check(&[compile("app/one.c", &[])], &[Failed]).await;
    let error = built.error();
    assert_eq!(error.fault, Fault::Build);
    assert_eq!(
        error.message,
        "compile app/one.c reads `include/one.h` without declaring it"
    );
    assert_eq!(
        error.help.as_deref(),
        Some(
            "add `include/one.h` to `hdrs` (or the library that has it to `deps`) of //app:app/one.c"
        )
    );
    assert!(
        !world.place("zako-out/app/one.c.o").exists(),
        "a failed action leaves nothing"
    );
    world
        .check(&[compile("app/one.c", &["include/one.h"])], &[Ran])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_the_input_root_does_not_have_is_hinted_at() {
    let world = World::new(FILES);
    let built = world
        .check(&[compile("app/one.c", &["include/two.h"])], &[Failed])
        .await;
    assert_eq!(
        built.error().message,
        "compile app/one.c failed: exit code 1"
    );
    let help = built.error().help.as_deref().unwrap();
    assert!(
        help.starts_with(
            "`include/one.h` is in the workspace, but //app:app/one.c does not declare it"
        ),
        "{help}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_elsewhere_become_leaves() {
    let mut world = World::new(FILES);
    // It reaches out of its input root, to talk to this test.
    world.isolation = Some(Isolation::Basic);
    let outside = world.cache.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("one.h"), "#define ONE 5\n").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let age = || {
        fs::File::options()
            .write(true)
            .open(outside.join("one.h"))
            .unwrap()
            .set_modified(old)
            .unwrap()
    };
    age();
    let mut action = compile("app/one.c", &[]);
    if let ActionBody::Command { argv } = &mut action.body {
        argv.push(format!("-I{}", outside.display()));
    }
    let actions = [action];
    world.check(&actions, &[Ran]).await;
    world.check(&actions, &[UpToDate]).await;
    fs::write(outside.join("one.h"), "#define ONE 66\n").unwrap();
    age();
    world.check(&actions, &[Ran]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_depfile_is_an_error() {
    let world = World::new(&[("a", "")]);
    let mut action = sh(
        "echo no rule > zako-out/b.d; cp $in $out",
        &["a"],
        &["zako-out/b"],
    );
    action.depfile = Some(path("zako-out/b.d"));
    let built = world.check(&[action], &[Failed]).await;
    assert!(
        built.error().message.contains("the depfile `zako-out/b.d`"),
        "{:?}",
        built.error()
    );
    assert_eq!(built.error().fault, Fault::Build);
}
