import { useEffect, useState } from 'react';
import { useParams } from 'react-router-dom';

const locales = import.meta.glob('../locales/*.json');

export default function Sky() {
  const { star } = useParams();
  const [words, setWords] = useState<{ above: string }>();
  useEffect(() => {
    const load = locales[`../locales/${navigator.language.slice(0, 2)}.json`] ?? locales['../locales/en.json'];
    load().then((module) => setWords((module as { default: { above: string } }).default));
  }, []);
  return <p>{words && `${star} ${words.above}`}</p>;
}
