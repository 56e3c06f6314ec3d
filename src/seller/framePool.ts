/**
 * Memory for frames, used again and again: fresh pages for every chunk would cost as much as sending it.
 * @module
 */
import { allocateBytes } from '#platform'

/** Lends memory to frames. */
export interface FramePool {
  /** Bytes to write a frame into, at least `size`; what they hold is left over. */
  take(size: number): Uint8Array
  /** Takes back a frame that was written into such memory, once nothing reads it any more. */
  give(frame: Uint8Array): void
}

/** Bytes that a pool keeps while nobody uses them. */
const KEPT = 16 * 1024 * 1024

/** Blocks are whole multiples of it, so that frames with longer and shorter proofs share them. */
const STEP = 4096

/** Creates a pool. Small frames are not worth keeping. */
export function createFramePool(): FramePool {
  const free = new Map<number, Uint8Array[]>()
  let kept = 0
  return {
    take: (size) => {
      if (size < STEP) return allocateBytes(size)
      const length = Math.ceil(size / STEP) * STEP
      const memory = free.get(length)?.pop()
      if (!memory) return allocateBytes(length)
      kept -= length
      return memory
    },
    give: (frame) => {
      const memory = new Uint8Array(frame.buffer)
      const { length } = memory
      if (length < STEP || kept + length > KEPT) return
      const blocks = free.get(length)
      if (blocks) blocks.push(memory)
      else free.set(length, [memory])
      kept += length
    },
  }
}
