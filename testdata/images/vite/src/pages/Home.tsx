import { useEffect, useState } from 'react';
import { Link } from 'react-router-dom';
import { Star, brighter } from '../stars';

export default function Home() {
  const [stars, setStars] = useState<Star[]>([]);
  useEffect(() => {
    fetch('/api/stars').then(async (res) => setStars(await res.json()));
  }, []);
  return (
    <ul>
      {brighter(stars).map((star) => (
        <li key={star.name}>
          <Link to={`/sky/${star.name}`}>{star.name}</Link>
        </li>
      ))}
    </ul>
  );
}
