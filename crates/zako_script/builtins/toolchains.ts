import { toolchain } from "zako:toolchain";
import type { Toolchain } from "zako:toolchain";
import { ArchiveToolchain } from "zako:archive";
import { CargoToolchain } from "zako:cargo";
import { CcToolchain } from "zako:cc";
import { RustToolchain } from "zako:rust";
import type { ArchiveTools } from "zako:archive";
import type { CargoTools } from "zako:cargo";
import type { CcTools } from "zako:cc";
import type { RustTools } from "zako:rust";

/** The C and C++ tools of the machine: `cc`, `c++` and `ar`, or what `-D cc=…`, `-D cxx=…` and `-D ar=…` name. */
export const cc: Toolchain<CcTools> = toolchain({
  type: CcToolchain,
  resolve(host) {
    const install = "apt install build-essential";
    const c = host.find(host.option("cc", "cc"), { install });
    return {
      c,
      cxx: host.findOptional(host.option("cxx", "c++")),
      ar: host.find(host.option("ar", "ar"), { install }),
      version: host.version(c),
      os: host.os,
    };
  },
});

/** Rust's compiler, `rustc` or what `-D rustc=…` names, and the C compiler that links. */
export const rust: Toolchain<RustTools> = toolchain({
  type: RustToolchain,
  resolve(host) {
    const named = host.find(host.option("rustc", "rustc"), { install: "https://rustup.rs, or apt install rustc" });
    // What stands for the compiler decides by files of its own which one runs; actions run that one.
    const rustc = host.find(`${host.run(named, ["--print", "sysroot"])}/bin/rustc`);
    const linker = host.find(host.option("cc", "cc"), { install: "apt install build-essential" });
    return { rustc, version: host.version(rustc), linker, os: host.os };
  },
});

/** Cargo, `cargo` or what `-D cargo=…` names, with Rust's compiler and the C compiler that links. */
export const cargo: Toolchain<CargoTools> = toolchain({
  type: CargoToolchain,
  resolve(host) {
    const install = "https://rustup.rs, or apt install cargo";
    const named = host.find(host.option("rustc", "rustc"), { install });
    const tools = `${host.run(named, ["--print", "sysroot"])}/bin`;
    const rustc = host.find(`${tools}/rustc`);
    return {
      cargo: host.findOptional(`${tools}/cargo`) ?? host.find(host.option("cargo", "cargo"), { install }),
      rustc,
      linker: host.find(host.option("cc", "cc"), { install: "apt install build-essential" }),
      host: /^host: (.*)$/m.exec(host.run(rustc, ["-vV"]))?.[1] ?? "",
      cfg: host.run(rustc, ["--print", "cfg"]).split("\n"),
    };
  },
});

/** What makes archives, as far as it is installed. */
export const archive: Toolchain<ArchiveTools> = toolchain({
  type: ArchiveToolchain,
  resolve: (host) => ({
    tar: host.findOptional(["gtar", "tar"]),
    gzip: host.findOptional("gzip"),
    xz: host.findOptional("xz"),
    zstd: host.findOptional("zstd"),
    zip: host.findOptional("zip"),
  }),
});
