/** Links between views of the same thing. */
export function Tabs({
  label,
  items,
}: {
  label: string
  items: readonly { readonly text: string; readonly href: string; readonly isCurrent: boolean }[]
}) {
  return (
    <nav className="tabs" aria-label={label}>
      {items.map(({ text, href, isCurrent }) => (
        <a key={href} href={href} aria-current={isCurrent ? 'page' : undefined}>
          {text}
        </a>
      ))}
    </nav>
  )
}

/** A choice of a few, as buttons side by side. */
export function Segments<T extends string | number>({
  label,
  value,
  options,
  onChange,
}: {
  label: string
  value: T
  options: readonly { readonly value: T; readonly text: string }[]
  onChange: (value: T) => void
}) {
  return (
    <div className="segments" role="group" aria-label={label}>
      {options.map((option) => (
        <button key={option.value} type="button" aria-pressed={option.value === value} onClick={() => onChange(option.value)}>
          {option.text}
        </button>
      ))}
    </div>
  )
}
