import { toolchain } from "zako:toolchain";
import type { Toolchain } from "zako:toolchain";
import { CcToolchain } from "zako:cc";
import type { CcTools } from "zako:cc";

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
