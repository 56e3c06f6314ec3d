/**
 * Small pictures made of shapes, as PNG.
 * @module
 */
import { deflateSync } from 'node:zlib'

/** Red, green, blue, from 0 to 255. */
export type Colour = readonly [number, number, number]

/** Pixels of a side. */
const SIDE = 96

/**
 * Draws a mark of two colours.
 * @param isInk whether a point is of the second colour; from -1 to 1 both ways, the middle is 0.
 * @returns the base64 of a PNG (RFC 2083) of 96 by 96 pixels.
 */
export function drawPicture(ground: Colour, ink: Colour, isInk: (x: number, y: number) => boolean): string {
  const rows = Buffer.alloc(SIDE * (1 + 3 * SIDE))
  const at = (pixel: number): number => ((pixel + 0.5) / SIDE) * 2 - 1
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) rows.set(isInk(at(x), at(y)) ? ink : ground, y * (1 + 3 * SIDE) + 1 + 3 * x)
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(SIDE, 0)
  header.writeUInt32BE(SIDE, 4)
  // 8 bits a channel, of red, green and blue.
  header.set([8, 2], 8)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]).toString('base64')
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const whole = Buffer.alloc(body.length + 8)
  whole.writeUInt32BE(data.length, 0)
  whole.set(body, 4)
  whole.writeUInt32BE(crc32(body), body.length + 4)
  return whole
}

function crc32(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}
