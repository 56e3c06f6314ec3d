/** A binary heap of integers by a number each: the least comes first. */
export interface Heap {
  /** How many there are. */
  readonly size: number
  /** The least key; infinite when the heap is empty. */
  readonly least: number
  push(key: number, value: number): void
  /** Takes the value of the least key out. The heap must not be empty. */
  pop(): number
}

/** Creates an empty heap. */
export function createHeap(): Heap {
  const keys: number[] = []
  const values: number[] = []
  return {
    get size() {
      return keys.length
    },
    get least() {
      return keys.length > 0 ? keys[0]! : Infinity
    },
    push(key, value) {
      let at = keys.length
      keys.push(key)
      values.push(value)
      while (at > 0) {
        const up = (at - 1) >> 1
        if (keys[up]! < key) break
        keys[at] = keys[up]!
        values[at] = values[up]!
        at = up
      }
      keys[at] = key
      values[at] = value
    },
    pop() {
      const first = values[0]!
      const key = keys.pop()!
      const value = values.pop()!
      const size = keys.length
      if (size === 0) return first
      let at = 0
      for (;;) {
        let down = 2 * at + 1
        if (down >= size) break
        if (down + 1 < size && keys[down + 1]! < keys[down]!) down++
        if (keys[down]! >= key) break
        keys[at] = keys[down]!
        values[at] = values[down]!
        at = down
      }
      keys[at] = key
      values[at] = value
      return first
    },
  }
}
