import { useId, useState } from 'react'
import type { ProductSummary } from 'sluice-sdk/des'
import { collect } from '../lib/pager.ts'
import { usePortal } from '../lib/portal.ts'
import { go, to } from '../lib/route.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Field } from '../parts/Field.tsx'
import { Loaded } from '../parts/Loaded.tsx'
import { Logo } from '../parts/Logo.tsx'
import { Page } from '../parts/Page.tsx'
import { Tabs } from '../parts/Tabs.tsx'

/** Products of a category that are listed at most: they are searched in the page. */
const MOST = 500

/** The products of a market, by category, searched by name. */
export function ProductsPage({ market: share, category }: { market: 'alliance' | 'free'; category: number | undefined }) {
  const { texts, format, market, categories, session } = usePortal()
  const [search, setSearch] = useState('')
  const count = useId()
  const known = useLoad(categories, [])
  const products = useLoad(async () => {
    const which = category === undefined ? (await categories()).map(({ categoryId }) => categoryId) : [category]
    const lists = await Promise.all(which.map((id) => collect(market.products(id, share === 'free' ? 1 : 0), MOST)))
    return lists.flat().sort((a, b) => a.productId - b.productId)
  }, [share, category])
  const path = (id: string): string => `products/${share}${id === '' ? '' : `/${id}`}`

  return (
    <Page
      title={texts.products.title}
      intro={texts.products.intro}
      actions={
        session && (
          <a className="button primary" href={to('publish')}>
            {texts.form.publishTitle}
          </a>
        )
      }
    >
      <Tabs
        label={texts.products.market}
        items={(['alliance', 'free'] as const).map((each) => ({
          text: texts.products[each],
          href: to(`products/${each}`),
          isCurrent: each === share,
        }))}
      />
      <div className="filters" role="search">
        <Field label={texts.products.category}>
          {(control) => (
            <select {...control} value={category ?? ''} onChange={({ target }) => go(path(target.value))}>
              <option value="">{texts.products.allCategories}</option>
              {known.is === 'done' &&
                known.value.map(({ categoryId, categoryName }) => (
                  <option key={categoryId} value={categoryId}>
                    {categoryName}
                  </option>
                ))}
            </select>
          )}
        </Field>
        <Field label={texts.products.search}>
          {(control) => (
            <input
              {...control}
              type="search"
              aria-controls={count}
              value={search}
              onChange={({ target }) => setSearch(target.value)}
            />
          )}
        </Field>
      </div>
      <Loaded
        of={products}
        skeleton={
          <div className="cards" aria-hidden="true">
            {Array.from({ length: 6 }, (_, card) => (
              <span key={card} className="card skeleton" />
            ))}
          </div>
        }
      >
        {(all) => {
          const found = all.filter(({ productName }) => productName.toLowerCase().includes(search.trim().toLowerCase()))
          return (
            <>
              <p id={count} className="unseen" role="status">
                {texts.products.count(found.length)}
              </p>
              {found.length === 0 ? (
                <p className="empty">{all.length === 0 ? texts.products.empty : texts.products.noMatch(search.trim())}</p>
              ) : (
                <ul className="cards">
                  {found.map((product) => (
                    <ProductCard key={product.productId} product={product} price={format.price(product.price)} />
                  ))}
                </ul>
              )}
            </>
          )
        }}
      </Loaded>
    </Page>
  )
}

function ProductCard({ product, price }: { product: ProductSummary; price: string }) {
  const { texts } = usePortal()
  const { productId, productName, briefDesc, logoUrl, privacy } = product
  return (
    <li className="card">
      <div className="title">
        <Logo url={logoUrl} name={productName} />
        <h2>
          <a href={to(`product/${productId}`)}>{productName}</a>
        </h2>
      </div>
      <p className="brief">{briefDesc || texts.product.noDescription}</p>
      <p className="foot">
        <strong>{price}</strong> <span className="quiet">{texts.products.perAnswer}</span>
        {privacy && (
          <span className="tag" title={texts.products.privacyOf}>
            {texts.products.privacy}
          </span>
        )}
      </p>
    </li>
  )
}
