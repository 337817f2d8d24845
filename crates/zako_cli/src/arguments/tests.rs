#![expect(clippy::unwrap_used, reason = "tests")]

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let read = Arguments::read(&words);
    let whole = Arguments::try_parse_from(&words);
    match (&read, &whole) {
        (Ok(read), Ok(whole)) => assert_eq!(format!("{read:?}"), format!("{whole:?}")),
        (Err(read), Err(whole)) => assert_eq!(read.to_string(), whole.to_string()),
        _ => panic!("one of two ways to read `{line}` fails"),
    }
    read
}

#[test]
fn a_command_that_is_an_options_value_is_none() {
    let arguments = parse("zako -C build eval build").unwrap();
    assert_eq!(
        arguments.options.directory.as_deref(),
        Some("build".as_ref())
    );
    assert!(matches!(arguments.command, Command::Eval { file } if file.as_os_str() == "build"));
    for wrong in [
        "zako",
        "zako -C build",
        "zako --help build",
        "zako build --help",
        "zako buidl",
        "zako --version",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn options_may_stand_before_and_after_the_command() {
    let arguments =
        parse("zako -C sub build //a:b -j 3 --memory 2GiB -k -D a=1 -D b=x=y -D a=2").unwrap();
    let options = &arguments.options;
    assert_eq!(options.directory.as_deref(), Some("sub".as_ref()));
    assert_eq!(options.jobs.map(NonZeroU32::get), Some(3));
    assert_eq!(options.memory, Some(2 << 30));
    assert!(options.keep_going);
    let config: Vec<_> = options.config().into_iter().collect();
    assert_eq!(
        config,
        [
            ("a".to_owned(), "2".to_owned()),
            ("b".to_owned(), "x=y".to_owned())
        ]
    );
    assert!(
        matches!(arguments.command, Command::Build { patterns, .. } if patterns.all() == ["//a:b"])
    );
}

#[test]
fn patterns_that_leave_out_are_no_options() {
    let arguments = parse("zako build -//old/... //... -k -//x:y").unwrap();
    assert!(arguments.options.keep_going);
    assert!(
        matches!(arguments.command, Command::Build { patterns, .. } if patterns.all() == ["//...", "-//old/...", "-//x:y"])
    );
}

#[test]
fn to_leave_out_alone_leaves_out_of_all() {
    let arguments = parse("zako targets -//old/...").unwrap();
    assert!(
        matches!(arguments.command, Command::Targets { patterns, .. } if patterns.all() == ["...", "-//old/..."])
    );
    let arguments = parse("zako build").unwrap();
    assert!(
        matches!(arguments.command, Command::Build { patterns, .. } if patterns.all().is_empty())
    );
}

#[test]
fn an_unknown_option_among_patterns_is_still_wrong() {
    for line in [
        "zako build --nope",
        "zako build -x",
        "zako build //a --nope",
        "zako targets --jsn",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn what_follows_the_dashes_is_the_programs() {
    let arguments = parse("zako run :tool -q -- -v --file x").unwrap();
    assert!(arguments.options.quiet);
    assert_eq!(arguments.options.verbose, 0);
    assert!(
        matches!(arguments.command, Command::Run { args, .. } if args == ["-v", "--file", "x"])
    );
}

#[test]
fn wrong_values_are_told() {
    for (line, part) in [
        ("zako build --memory lots", "`lots` is no size"),
        ("zako build -j 0", "invalid value '0'"),
        ("zako build -D fast", "write fast=VALUE"),
        ("zako build -D =1", "no name before the `=`"),
        ("zako build --script-timeout soon", "`soon` is no duration"),
        ("zako build --color blue", "invalid value 'blue'"),
        ("zako build -v -q", "cannot be used with"),
        ("zako biuld", "unrecognized subcommand"),
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(part), "{line}: {error}");
    }
}

#[test]
fn verbosity_is_one_scale() {
    let of = |line: &str| parse(line).unwrap().options.verbosity();
    assert_eq!(of("zako doctor -q"), Verbosity::Quiet);
    assert_eq!(of("zako doctor"), Verbosity::Normal);
    assert_eq!(of("zako doctor -v"), Verbosity::Verbose);
    assert_eq!(of("zako -v doctor -v"), Verbosity::Verbose);
    assert_eq!(of("zako doctor -vv"), Verbosity::Debug);
    assert_eq!(of("zako doctor -vvvv"), Verbosity::Trace);
}
