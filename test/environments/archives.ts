/** Makes archives of any content, also of what no tool would write. Independent of what it tests. */
import { crc32, deflateRawSync, gzipSync } from "node:zlib";

export interface Made {
  readonly path: string;
  readonly content?: string | Uint8Array;
  /** Of tar: "0" file, "5" folder, "2" link, "1" second name, "3" device. */
  readonly type?: string;
  readonly target?: string;
  readonly mode?: number;
  /** What the header says, if it lies. */
  readonly size?: number;
}

const bytesOf = (content: string | Uint8Array = ""): Buffer => Buffer.from(content as string);

export function tar(entries: readonly Made[], end = 1024): Buffer {
  const blocks = entries.flatMap(({ path, content, type = "0", target = "", mode = 0o644, size }) => {
    const body = bytesOf(content);
    const header = Buffer.alloc(512);
    header.write(path, 0, 100);
    header.write(mode.toString(8).padStart(7, "0"), 100);
    header.write((size ?? body.byteLength).toString(8).padStart(11, "0"), 124);
    header.fill(0x20, 148, 156);
    header.write(type, 156);
    header.write(target, 157, 100);
    header.write("ustar\u{0}00", 257);
    header.write(
      `${header
        .reduce((a, b) => a + b, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    return [header, body, Buffer.alloc((512 - (body.byteLength % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(end)]);
}

export const tarGzip = (entries: readonly Made[]): Buffer => gzipSync(tar(entries));

/** A pax record, for `type: "x"`. */
export function pax(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return `${length}${rest}`;
}

export function zip(entries: readonly Made[], deflate = true): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { path, content, mode = 0o100644, size } of entries) {
    const body = bytesOf(content);
    const packed = deflate ? deflateRawSync(body) : body;
    const name = Buffer.from(path);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.byteLength, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt8(3, 5);
    central.writeUInt16LE(0x800, 8);
    central.writeUInt16LE(deflate ? 8 : 0, 10);
    central.writeUInt32LE(crc32(body), 16);
    central.writeUInt32LE(packed.byteLength, 20);
    central.writeUInt32LE(size ?? body.byteLength, 24);
    central.writeUInt16LE(name.byteLength, 28);
    central.writeUInt32LE((mode << 16) >>> 0, 38);
    central.writeUInt32LE(at, 42);
    parts.push(local, name, packed);
    directory.push(central, name);
    at += 30 + name.byteLength + packed.byteLength;
  }
  const whole = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(whole.byteLength, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, whole, end]);
}
