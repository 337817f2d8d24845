//! What scripts cost from the command line: starting, loading many packages, analysing many targets.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::failure::Failure;
use crate::process::CommandLine;

#[derive(Args)]
pub(crate) struct ScriptsArguments {
    /// The zako to measure
    #[arg(long, default_value = "target/release/zako")]
    zako: PathBuf,
    /// The Deno to start beside it (of npm's package `deno`: the program in `@deno/…`, not the script that starts it)
    #[arg(long)]
    deno: Option<PathBuf>,
    /// How many packages are loaded, of five targets each
    #[arg(long, default_value_t = 1000)]
    packages: usize,
    /// How many targets of one rule are analysed
    #[arg(long, default_value_t = 10_000)]
    targets: usize,
    /// Times that each is measured
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Times that a start is measured
    #[arg(long, default_value_t = 40)]
    starts: usize,
}

/// Times of one thing, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }
}

/// Measures commands in turn, so that what else the machine does meets all of them; `before` comes before each.
fn measure(
    commands: &[CommandLine],
    folder: &Path,
    times: usize,
    before: impl Fn() -> Result<(), Failure>,
) -> Result<Vec<Times>, Failure> {
    let mut all: Vec<Vec<Duration>> = vec![Vec::new(); commands.len()];
    for _ in 0..times.max(1) {
        for (command, all) in commands.iter().zip(&mut all) {
            before()?;
            all.push(command.measure(folder)?.wall());
        }
    }
    let sorted = all.into_iter().map(|mut times| {
        times.sort_unstable();
        Times(times)
    });
    Ok(sorted.collect())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Failure::io("create", folder.display()))?;
    fs::write(path, text).map_err(Failure::io("write", path.display()))
}

/// Removes what zako knows of the workspace.
fn forget(root: &Path) -> Result<(), Failure> {
    for folder in [root.join(".zako"), root.join("cache")] {
        match fs::remove_dir_all(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::io("remove", folder.display())(error)),
        }
    }
    Ok(())
}

/// Five tasks, as people write them, with a library that all packages share.
fn package(number: usize) -> String {
    let mut text =
        String::from("import { task } from \"zako:build\";\nimport { flags } from \"//lib.ts\";\n");
    for target in 0..5 {
        let _ = writeln!(
            text,
            "export const t{target} = task({{ outputs: [\"{target}.txt\"], command: [\"sh\", \"-c\", \"echo {number} > $0\", \"$out\"], env: {{ F: flags({target}).join(\" \") }} }});"
        );
    }
    text
}

const LIBRARY: &str = "export interface Flag { readonly name: string }\nexport function flags(n: number): string[] {\n  \
    const all: Flag[] = [{ name: \"a\" }, { name: \"b\" }];\n  return all.map((flag) => `-${flag.name}${n}`);\n}\n";

const RULE: &str = "import { attr, rule } from \"zako:rule\";\nexport const copy = rule({\n  attrs: { srcs: attr.files() },\n  \
    provides: {},\n  analyze(ctx) {\n    const out = ctx.file(`${ctx.name}.o`);\n    \
    ctx.run({ args: [\"cp\", ...ctx.attrs.srcs, out], outputs: [out] });\n    ctx.expose(\"default\", out);\n    return {};\n  },\n});\n";

/// Measures all, and gives the table.
pub(crate) fn run(arguments: &ScriptsArguments) -> Result<String, Failure> {
    let temporary = tempfile::tempdir().map_err(Failure::io("create", "a temporary folder"))?;
    let zako = arguments
        .zako
        .canonicalize()
        .map_err(Failure::io("find", arguments.zako.display()))?;
    let mut table =
        String::from("what                                             median       best\n");
    let mut row = |what: &str, times: &Times| {
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        let _ = writeln!(
            table,
            "{what:44} {:>10} {:>10}",
            ms(times.median()),
            ms(times.0[0])
        );
        times.median()
    };
    let mut ratios = Vec::new();

    let hello = temporary.path().join("hello");
    write(&hello.join("zako.toml"), "zako = \"0.1\"\n")?;
    write(
        &hello.join("hello.ts"),
        "const who: string = \"world\";\nexport const text: string = `hello, ${who}`;\nconsole.log(text);\n",
    )?;
    let own = |root: &Path, words: &[&str]| {
        let cache = root.join("cache");
        let program = [zako.clone().into_os_string()];
        let options = ["--cache-dir".into(), cache.into_os_string()];
        let words = words.iter().map(Into::into);
        CommandLine::new(program.into_iter().chain(words).chain(options))
    };
    let mut starts = vec![own(&hello, &["eval", "hello.ts"])];
    if let Some(deno) = &arguments.deno {
        let deno = deno
            .canonicalize()
            .map_err(Failure::io("find", deno.display()))?;
        starts.push(CommandLine::new([
            deno.into_os_string(),
            "run".into(),
            "hello.ts".into(),
        ]));
    }
    let times = measure(&starts, &hello, arguments.starts, || Ok(()))?;
    let eval = row("zako eval hello.ts", &times[0]);
    if let Some(deno) = times.get(1) {
        let deno = row("deno run hello.ts", deno);
        ratios.push(("start, to Deno", eval, deno));
    }

    let many = temporary.path().join("many");
    write(&many.join("zako.toml"), "zako = \"0.1\"\n")?;
    write(&many.join("lib.ts"), LIBRARY)?;
    for number in 0..arguments.packages {
        let build = format!("g{}/p{number}/BUILD.ts", number / 100);
        write(&many.join(build), &package(number))?;
    }
    let cold = [
        own(&many, &["targets", "//..."]),
        own(&many, &["--script-threads", "1", "targets", "//..."]),
    ];
    let times = measure(&cold, &many, arguments.runs, || forget(&many))?;
    let packages = arguments.packages;
    let all = row(&format!("load {packages} packages, cold"), &times[0]);
    let one = row(
        &format!("load {packages} packages, cold, one worker"),
        &times[1],
    );
    ratios.push(("load, to one worker", all, one));
    // A build keeps what it evaluated; listing targets alone does not.
    own(&many, &["--isolation", "none", "build", "--quiet", "//..."]).measure(&many)?;
    let warm = measure(
        &[own(&many, &["targets", "//..."])],
        &many,
        arguments.runs,
        || Ok(()),
    )?;
    row(&format!("load {packages} packages, warm"), &warm[0]);

    let rules = temporary.path().join("rules");
    let targets = arguments.targets;
    write(&rules.join("zako.toml"), "zako = \"0.1\"\n")?;
    write(&rules.join("copy.rule.ts"), RULE)?;
    write(&rules.join("a.txt"), "a\n")?;
    let build = format!(
        "import {{ copy }} from \"//copy.rule.ts\";\nexport const all = Array.from({{ length: {targets} }}, () => copy({{ srcs: [\"a.txt\"] }}));\n"
    );
    write(&rules.join("BUILD.ts"), &build)?;
    let both = [
        own(&rules, &["targets", "//..."]),
        own(&rules, &["build", "--dry-run", "//..."]),
    ];
    let times = measure(&both, &rules, arguments.runs, || forget(&rules))?;
    row(&format!("declare {targets} targets of one rule"), &times[0]);
    row("the same, analysed and planned", &times[1]);

    table.push('\n');
    for (what, own, other) in ratios {
        let ratio = own.as_secs_f64() / other.as_secs_f64();
        let _ = writeln!(table, "{what:44} {ratio:>10.2}");
    }
    Ok(table)
}
