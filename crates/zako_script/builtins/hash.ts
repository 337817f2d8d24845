import { bytes } from "zako:internal/host";

/** Text (hashed as UTF-8) or bytes. */
export type Data = string | Uint8Array;

const hex = (algorithm: string, data: Data): string => {
  const text = typeof data === "string";
  if (!text && !(data instanceof Uint8Array)) throw new TypeError("a string or a Uint8Array can be hashed");
  const digest = bytes("hash", { algorithm, text: text ? data : null }, text ? new Uint8Array(0) : data);
  return Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
};

/** The BLAKE3 digest in lower-case hexadecimal, 64 digits. */
export function blake3(data: Data): string {
  return hex("blake3", data);
}

/** The SHA-256 digest (FIPS 180-4) in lower-case hexadecimal, 64 digits. */
export function sha256(data: Data): string {
  return hex("sha256", data);
}
