/** A product's picture; its first character where it has none. The name stands beside it, so it says nothing to readers. */
export function Logo({ url, name, size = 40 }: { url: string | undefined; name: string; size?: number }) {
  const box = { width: size, height: size }
  if (url) return <img className="logo" src={url} alt="" {...box} />
  return (
    <span className="logo" aria-hidden="true" style={{ ...box, fontSize: size * 0.45 }}>
      {[...name][0]?.toUpperCase()}
    </span>
  )
}
