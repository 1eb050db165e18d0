/** Drawings; all of them only repeat what stands in words. */

const PATHS = {
  sun: "M12 4V2m0 20v-2m8-8h2M2 12h2m13.700-5.700 1.400-1.400M4.900 19.100l1.400-1.400m0-11.400L4.900 4.900m14.200 14.200-1.400-1.400M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0Z",
  moon: "M20 14.500A8 8 0 1 1 9.500 4a6.500 6.500 0 0 0 10.500 10.500Z",
  half: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm0 0v18",
  clock: "M12 7v5l3 2m6-2a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z",
  key: "M14 10a4 4 0 1 1-4 4l10-10m-4 4 3 3",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1m2 4a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  code: "m8 8-4 4 4 4m8-8 4 4-4 4M13.500 5l-3 14",
  arrow: "M5 12h14m-6-6 6 6-6 6",
  stop: "M7 7h10v10H7z",
  close: "m6 6 12 12M18 6 6 18",
  back: "M4 9h10a5 5 0 0 1 0 10H9M8 5 4 9l4 4",
  plus: "M12 5v14m-7-7h14",
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path class="hue-0" d="M6 8c3 9 6 13 10 16" />
      <path class="hue-1" d="M11 7c1 7 2.500 12 5 17" />
      <path class="hue-2" d="M16 6v18" />
      <path class="hue-3" d="M21 7c-1 7-2.500 12-5 17" />
      <path class="hue-4" d="M26 8c-3 9-6 13-10 16" />
    </svg>
  );
}
