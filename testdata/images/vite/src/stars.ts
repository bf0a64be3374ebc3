export interface Star {
  name: string;
  magnitude: number;
}

export const brighter = (stars: Star[]): Star[] => [...stars].sort((a, b) => a.magnitude - b.magnitude);
