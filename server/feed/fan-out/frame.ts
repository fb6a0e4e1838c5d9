/** RFC 6455, 5.2: a whole message of text in one frame, unmasked, as servers send them. */
const FINAL_TEXT = 0x81;
/** Lengths up to 125 are in the second byte; these say that two or eight bytes have it. */
const [IN_TWO, IN_EIGHT] = [126, 127];

const headBytes = (length: number) => (length < IN_TWO ? 2 : length < 2 ** 16 ? 4 : 10);

export const frameBytes = (length: number): number => headBytes(length) + length;

/** Returns where the message's bytes go. */
export function writeFrameHead(target: Buffer, at: number, length: number): number {
  const bytes = headBytes(length);
  target[at] = FINAL_TEXT;
  target[at + 1] = bytes === 2 ? length : bytes === 4 ? IN_TWO : IN_EIGHT;
  if (bytes === 4) target.writeUInt16BE(length, at + 2);
  if (bytes === 10) target.writeBigUInt64BE(BigInt(length), at + 2);
  return at + bytes;
}
