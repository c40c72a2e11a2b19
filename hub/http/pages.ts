/** A rendered page as an answer: never cached, with the visitor in its header. */
import type { Context } from 'koa'
import type { PageName, PartName, Web } from '../web/render.ts'
import { possibleVisitor } from './visitor.ts'

export interface Pages {
  show(ctx: Context, name: PageName | PartName, data: object): void
}

export function createPages(web: Web): Pages {
  return {
    show(ctx, name, data) {
      const html = web.render(name, { visitor: possibleVisitor(ctx), ...data })
      ctx.set('Cache-Control', 'no-store')
      ctx.status = 200
      ctx.type = 'text/html; charset=utf-8'
      ctx.body = html
    },
  }
}
