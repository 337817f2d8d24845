//! Says what there is to build on: `cfg(linux)`, and `cfg(walls)`, which is Linux on the architectures that
//! `process::launch::raw` speaks.
//!
//! With `ZAKO_EXEC_PORTABLE=1` in the environment neither is set, so that what other systems get is compiled and tested on Linux.

fn main() {
    const PORTABLE: &str = "ZAKO_EXEC_PORTABLE";

    println!("cargo::rustc-check-cfg=cfg(walls)");
    println!("cargo::rustc-check-cfg=cfg(linux)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={PORTABLE}");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("CARGO_CFG_TARGET_OS") != "linux" || variable(PORTABLE) == "1" {
        return;
    }
    println!("cargo::rustc-cfg=linux");
    if matches!(&*variable("CARGO_CFG_TARGET_ARCH"), "x86_64" | "aarch64") {
        println!("cargo::rustc-cfg=walls");
    }
}
