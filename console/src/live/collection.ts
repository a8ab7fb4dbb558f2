/** A change of something that is watched: as it is now, or gone. */
export interface Change<Item> {
  readonly id: string;
  /** Undefined if it is to be shown no more. */
  readonly item: Item | undefined;
}

/** How long changes are gathered before they are shown: many at once cost no more than one. */
const gatherMs = 80;
/** The same above {@link many} items, of which each showing costs more. */
const gatherManyMs = 400;
const many = 2000;

/**
 * What a watch has told so far.
 *
 * When everything is told anew, what was there stays in sight until the new is complete.
 */
export class Collection<Item> {
  #items = new Map<string, Item>();
  #fresh: Map<string, Item> | undefined;
  #synced = false;
  #seen: CollectionState<Item> = { items: [], isSynced: false };
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<() => void>();

  /** Takes what the watch tells. */
  apply(changes: readonly Change<Item>[]): void {
    const items = this.#fresh ?? this.#items;
    for (const { id, item } of changes) {
      if (item === undefined) {
        items.delete(id);
      } else {
        items.set(id, item);
      }
    }
    this.#later();
  }

  /** Removes all; for a run that is deleted. */
  removeAll(): void {
    (this.#fresh ?? this.#items).clear();
    this.#later();
  }

  /** Takes note that everything will be told anew. */
  restart(): void {
    this.#fresh = new Map();
  }

  /** Takes note that everything is told. */
  sync(): void {
    this.#items = this.#fresh ?? this.#items;
    this.#fresh = undefined;
    this.#synced = true;
    this.#now();
  }

  #later(): void {
    const size = (this.#fresh ?? this.#items).size;
    this.#timer ??= setTimeout(() => this.#now(), size > many ? gatherManyMs : gatherMs);
  }

  #now(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#seen = { items: [...this.#items.values()], isSynced: this.#synced };
    for (const listener of this.#listeners) {
      listener();
    }
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly state = (): CollectionState<Item> => this.#seen;
}

/** What is seen of a collection; another object after each change. */
export interface CollectionState<Item> {
  readonly items: readonly Item[];
  /** Whether all that there was is told. */
  readonly isSynced: boolean;
}
