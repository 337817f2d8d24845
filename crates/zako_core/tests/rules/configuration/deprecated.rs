//! Options that are not to be set any more.

use zako_core::BuildOptions;

use super::{profile, set};
use crate::fixture::{Built, Fixture, run, told};

/// What was warned of, with its place.
fn warned(built: &Built) -> Vec<String> {
    let all = built.report.diagnostics.iter();
    all.map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sets_a_deprecated_option_is_warned() {
    let config = "import { flag, option } from \"zako:config\";\n\
        export const mode = option({ values: [\"debug\", \"fast\"], default: \"debug\", deprecated: \"set opt\" });\n\
        export const lto = flag({ deprecated: \"set opt=2\" });\nexport const opt = option({ values: [\"0\", \"2\"], default: \"0\" });\n";
    let build = "import { task } from \"zako:build\";\nimport { select } from \"zako:config\";\nimport { lto, mode } from \"//o.config.ts\";\n\
        export const t = task({ outputs: [\"t\"], command: [\"touch\", \"$out\", select(mode, { debug: [], fast: [] }), select(lto, { true: [], false: [] })] });\n";
    let manifest = "zako = \"0.1\"\n\n[config]\nopt = \"2\"\n\n[profile.quick]\nmode = \"fast\"\nopt = \"0\"\n";
    let f = Fixture::new(&[
        ("o.config.ts", config),
        ("BUILD.ts", build),
        ("zako.toml", manifest),
    ]);
    // Reading it is nothing to be warned of.
    assert_eq!(warned(&f.build(&[]).await.good()), [""; 0]);
    let by_hand = "the option lto, which -D sets, is deprecated: set opt=2";
    let built = f.build_with(&[], set(&[("lto", "true")])).await.good();
    assert_eq!(warned(&built), [by_hand]);
    // It is told as often as it is set.
    let built = f.build_with(&[], set(&[("lto", "true")])).await.good();
    assert_eq!(warned(&built), [by_hand]);
    let built = f.build_with(&[], profile("quick")).await.good();
    assert_eq!(
        warned(&built),
        ["zako.toml:7:8: the option mode, which the profile quick sets, is deprecated: set opt"]
    );
    f.write("zako.toml", &manifest.replace("opt = \"2\"", "lto = true"));
    assert_eq!(
        warned(
            &run(&f.reopened(), &[], BuildOptions::default())
                .await
                .good()
        ),
        [
            "zako.toml:4:7: the option lto, which [config] of zako.toml sets, is deprecated: set opt=2"
        ]
    );
    f.write("zako.toml", manifest);
    // In a package, once, wherever it is set first.
    let sets = "import { configured } from \"zako:config\";\nimport { lto, mode } from \"//o.config.ts\";\nimport { t } from \"//BUILD.ts\";\n\
        export const fast = configured(t, mode.is(\"fast\"));\nexport const both = configured(t, mode.is(\"fast\"), lto.is(true));\n";
    f.write("p/BUILD.ts", sets);
    let built = f.build(&[]).await.good();
    assert_eq!(
        warned(&built),
        [
            "p/BUILD.ts:4:40: the option mode is deprecated: set opt",
            "p/BUILD.ts:5:56: the option lto is deprecated: set opt=2"
        ]
    );
    for (wrong, message) in [
        (
            "flag({ deprecated: true as any })",
            "deprecated of flag takes what to use instead, as \"use opt\"",
        ),
        (
            "flag({ depricated: \"\" } as any)",
            "did you mean \"deprecated\"?",
        ),
    ] {
        f.write(
            "o.config.ts",
            &config.replace("flag({ deprecated: \"set opt=2\" })", wrong),
        );
        let error = told(f.build(&[]).await.error());
        assert!(
            error.starts_with("o.config.ts:3:") && error.contains(message),
            "{error}"
        );
    }
}
